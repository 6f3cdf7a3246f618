//! The schedule of recovery probes: attempts that test a long cooldown before its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The interval of recovery probes at one endpoint and limit key. Shorter cooldowns have none.
pub(crate) const RECOVERY_PROBES: Duration = Duration::from_secs(60);
/// The time until the next search, if a due probe found no request.
const SEARCH_AGAIN: Duration = Duration::from_millis(100);

/// When the next recovery probe of a pool may be due, in milliseconds since its start.
///
/// A request to a pool without a long cooldown reads only this value.
#[derive(Debug)]
pub(crate) struct RecoverySchedule(AtomicU64);

impl RecoverySchedule {
    const NEVER: u64 = u64::MAX;

    /// Starts without a probe.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }

    /// Records that a probe is due at this age of the pool.
    pub(crate) fn note(&self, due: Duration) {
        self.0.fetch_min(millis(due), Ordering::Relaxed);
    }

    /// Returns whether a probe may be due. `since_start` is the age of the pool.
    #[inline]
    pub(crate) fn is_due(&self, since_start: impl FnOnce() -> Duration) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        due != Self::NEVER && due <= millis(since_start())
    }

    /// Sets the next search to `next`, or to a later one if it is due already.
    pub(crate) fn searched(&self, next: Option<Duration>, since_start: Duration) {
        let again = since_start.saturating_add(SEARCH_AGAIN);
        let next = next.map_or(Self::NEVER, |next| millis(next.max(again)));
        let order = Ordering::Relaxed;
        // A cooldown that began meanwhile may have an earlier probe.
        let before = self.0.load(order);
        if before <= millis(since_start) {
            let _ = self.0.compare_exchange(before, next, order, order);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn earliest_probe_decides_about_next_search() {
        let schedule = RecoverySchedule::new();
        let is_due = |seconds| schedule.is_due(|| seconds * SECOND);
        assert!(!is_due(1_000_000));
        schedule.note(70 * SECOND);
        schedule.note(60 * SECOND);
        schedule.note(80 * SECOND);
        assert!(!is_due(59) && is_due(60));
        schedule.searched(Some(70 * SECOND), 60 * SECOND);
        assert!(!is_due(69) && is_due(70));
        schedule.searched(Some(60 * SECOND), 70 * SECOND);
        assert!(
            !is_due(70) && is_due(71),
            "searched at most ten times per second"
        );
        schedule.searched(None, 71 * SECOND);
        assert!(!is_due(1_000_000));
    }

    /// Another thread may note a probe during a search.
    #[test]
    fn search_before_the_time_changes_nothing() {
        let schedule = RecoverySchedule::new();
        schedule.note(60 * SECOND);
        schedule.searched(None, 59 * SECOND);
        assert!(schedule.is_due(|| 60 * SECOND));
        schedule.note(Duration::MAX);
        assert!(schedule.is_due(|| 60 * SECOND));
    }
}
