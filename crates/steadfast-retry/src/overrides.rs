//! The settings of one request that replace settings of the layer.

use std::time::Duration;

use http::Extensions;

/// The retry settings of one request, in its extensions.
///
/// Unset settings default to the layer's. A [`Deadline`](steadfast_core::Deadline) in the
/// extensions sets the time until which attempts may start.
///
/// ```
/// use steadfast_retry::RetryOverride;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RetryOverride::new().max_attempts(5).safe(true));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOverride {
    /// Replaces the attempts of the layer.
    pub(crate) max_attempts: Option<u32>,
    /// Replaces the longest wait of the layer.
    pub(crate) max_wait: Option<Duration>,
    /// Replaces the rule for requests that are safe to repeat.
    pub(crate) safe: Option<bool>,
}

impl RetryOverride {
    /// Creates overrides without any setting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows only one attempt.
    #[must_use]
    pub fn never() -> Self {
        Self::new().max_attempts(1)
    }

    /// Sets the total number of attempts. The first is always made, so 0 equals 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets the total time that the request may wait, if it has no deadline.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// Sets whether the request is safe to repeat, even if it may have been processed. The method
    /// and the headers of the request are ignored.
    #[must_use]
    pub fn safe(mut self, safe: bool) -> Self {
        self.safe = Some(safe);
        self
    }

    /// Returns whether the request is safe to repeat, if this is set.
    #[must_use]
    pub fn is_safe(&self) -> Option<bool> {
        self.safe
    }

    /// Returns the overrides in the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    /// Takes unset settings from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(other.max_attempts),
            max_wait: self.max_wait.or(other.max_wait),
            safe: self.safe.or(other.safe),
        }
    }
}
