use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use crate::time::saturating_add;

/// The instant until which the caller waits for a request, as a request extension.
///
/// Layers start no attempt after it, and do not sleep beyond it.
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

    /// Returns the remaining time at `now`, or zero if the deadline has passed.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn endless_wait_does_not_panic() {
        let now = Instant::now();
        assert!(saturating_add(now, Duration::MAX) > now + Duration::from_secs(86_400));
        assert!(Deadline::after(Duration::MAX).remaining(now) > Duration::from_secs(86_400));
        assert_eq!(
            Deadline::at(now).remaining(now + Duration::from_secs(1)),
            Duration::ZERO
        );
    }
}
