use std::time::Duration;

use http::Extensions;

/// What is different for one request, in its extensions.
///
/// What it does not say is as the layer has it. Until when attempts may begin is said by a
/// [`Deadline`](steadfast_core::Deadline).
///
/// ```
/// use steadfast_retry::RetryOverride;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RetryOverride::new().max_attempts(5).safe(true));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOverride {
    pub(crate) max_attempts: Option<u32>,
    pub(crate) max_wait: Option<Duration>,
    pub(crate) safe: Option<bool>,
}

impl RetryOverride {
    /// Creates one that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows one attempt only, whatever comes of it.
    #[must_use]
    pub fn never() -> Self {
        Self::new().max_attempts(1)
    }

    /// Sets the attempts in all. 0 is the same as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets how long the request may wait in all, if it has no deadline.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// Sets whether the request is safe to repeat when it may have been processed already,
    /// whatever its method and its headers are.
    #[must_use]
    pub fn safe(mut self, safe: bool) -> Self {
        self.safe = Some(safe);
        self
    }

    /// Returns whether the request is safe to repeat, if that was said.
    #[must_use]
    pub fn is_safe(&self) -> Option<bool> {
        self.safe
    }

    /// Returns what is in the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    /// Takes what this one does not say from another.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(other.max_attempts),
            max_wait: self.max_wait.or(other.max_wait),
            safe: self.safe.or(other.safe),
        }
    }
}
