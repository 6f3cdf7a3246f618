use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

/// The instant until which the caller waits for a request, as a request extension.
///
/// Layers sleep and start attempts only while there is time left.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::Deadline;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Deadline::after(Duration::from_secs(30)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Creates a deadline at `instant`.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Creates a deadline `wait` from now.
    #[must_use]
    pub fn after(wait: Duration) -> Self {
        Self(saturating_add(Instant::now(), wait))
    }

    /// Returns the deadline in the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// Returns the instant.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Returns the time that is left at `now`, zero if it has passed.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }
}

/// Returns the instant `wait` after `now`, or one decades ahead if that cannot be represented.
///
/// Servers and users give durations; `Instant + Duration` panics for large ones.
#[must_use]
pub fn saturating_add(now: Instant, wait: Duration) -> Instant {
    const DECADES: Duration = Duration::from_secs(86_400 * 365 * 30);
    now.checked_add(wait.min(DECADES)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_end_is_no_panic() {
        let now = Instant::now();
        assert!(saturating_add(now, Duration::MAX) > now + Duration::from_secs(86_400));
        assert!(Deadline::after(Duration::MAX).remaining(now) > Duration::from_secs(86_400));
        assert_eq!(
            Deadline::at(now).remaining(now + Duration::from_secs(1)),
            Duration::ZERO
        );
    }
}
