//! The schedule of recovery probes: attempts that test a long cooldown before its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::state::millis::millis;

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
        // One below `NEVER`, for an absurd time.
        self.0
            .fetch_min(millis(due).min(Self::NEVER - 1), Ordering::Release);
    }

    /// Returns whether a probe may be due. `since_start` is the age of the pool.
    #[inline]
    pub(crate) fn is_due(&self, since_start: impl FnOnce() -> Duration) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        due != Self::NEVER && due <= millis(since_start())
    }

    /// Begins the search for a due probe. Returns whether no other request has begun it.
    ///
    /// The schedule is empty until the search has ended, so the probe of a cooldown that begins
    /// meanwhile is not lost.
    pub(crate) fn begin_search(&self, since_start: Duration) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
        let begin = || self.0.compare_exchange(due, Self::NEVER, success, failure);
        due <= millis(since_start) && begin().is_ok()
    }

    /// Ends a search. The next one is due at `next`, or later if that has passed.
    pub(crate) fn searched(&self, next: Option<Duration>, since_start: Duration) {
        if let Some(next) = next {
            self.note(next.max(since_start.saturating_add(SEARCH_AGAIN)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn earliest_probe_decides_about_next_search() {
        let schedule = RecoverySchedule::new();
        let is_due = |seconds| schedule.is_due(|| seconds * SECOND);
        let search = |next, seconds| {
            assert!(schedule.begin_search(seconds * SECOND));
            assert!(
                !schedule.begin_search(seconds * SECOND),
                "by another request"
            );
            schedule.searched(next, seconds * SECOND);
        };
        assert!(!is_due(1_000_000));
        schedule.note(70 * SECOND);
        schedule.note(60 * SECOND);
        schedule.note(80 * SECOND);
        assert!(!is_due(59) && is_due(60));
        search(Some(70 * SECOND), 60);
        assert!(!is_due(69) && is_due(70));
        search(Some(60 * SECOND), 70);
        assert!(
            !is_due(70) && is_due(71),
            "searched at most ten times per second"
        );
        search(None, 71);
        assert!(!is_due(1_000_000));
    }

    /// Two searches would send two probes to an endpoint that has just refused one.
    #[test]
    fn one_of_several_threads_begins_a_search() {
        const ROUNDS: u64 = 20_000;
        let schedule = RecoverySchedule::new();
        let (arrived, begun) = (AtomicU64::new(0), AtomicU64::new(0));
        // Both threads go on at the same time, closer than those of a `Barrier`.
        let meet = |meeting: u64| {
            arrived.fetch_add(1, Ordering::AcqRel);
            while arrived.load(Ordering::Acquire) < 2 * meeting {
                thread::yield_now();
            }
        };
        let rounds = || {
            for round in 0..ROUNDS {
                // Both threads note the same probe. It is due at once.
                schedule.note(SECOND);
                meet(2 * round + 1);
                begun.fetch_add(u64::from(schedule.begin_search(SECOND)), Ordering::Relaxed);
                meet(2 * round + 2);
            }
        };
        thread::scope(|scope| {
            scope.spawn(rounds);
            scope.spawn(rounds);
        });
        assert_eq!(begun.into_inner(), ROUNDS);
    }

    /// The endpoint that begins to cool may have been searched already. Its cooldown of a day was
    /// never tested.
    #[test]
    fn probe_noted_during_a_search_is_kept() {
        let schedule = RecoverySchedule::new();
        schedule.note(60 * SECOND);
        assert!(!schedule.begin_search(59 * SECOND), "too early");
        assert!(schedule.begin_search(60 * SECOND));
        assert!(!schedule.begin_search(60 * SECOND), "one search at a time");
        schedule.note(120 * SECOND);
        schedule.searched(None, 60 * SECOND);
        assert!(schedule.is_due(|| 120 * SECOND));
        schedule.note(Duration::MAX);
        assert!(schedule.is_due(|| 120 * SECOND));
    }
}
