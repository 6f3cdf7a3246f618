use std::time::Duration;

use tokio::time::Instant;

/// The resolution of tokio's timers. No layer waits for less.
pub const TICK: Duration = Duration::from_millis(1);

/// Returns the instant `wait` after `now`, capped at 30 years.
///
/// `Instant + Duration` panics for large durations, which servers and users may supply.
#[must_use]
pub fn saturating_add(now: Instant, wait: Duration) -> Instant {
    const DECADES: Duration = Duration::from_secs(86_400 * 365 * 30);
    now.checked_add(wait.min(DECADES)).unwrap_or(now)
}
