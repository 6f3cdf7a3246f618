//! Whether an endpoint serves requests, as evidence about requests that fail at it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::state::millis::millis;

/// An endpoint serves other requests if one of them succeeded within this time. A new endpoint is
/// assumed to serve for as long.
const RECENT: Duration = Duration::from_secs(10);
/// The number of failures since the last success that are attributed to their requests. A dead
/// endpoint with many requests is so found sooner.
const MAX_EXCUSED: u64 = 50;

/// The last success of an endpoint, and the failures since then that were attributed to their
/// requests.
#[derive(Debug)]
pub(crate) struct Served {
    /// The milliseconds from the start of the pool to the last success, or to the creation of the
    /// endpoint.
    last: AtomicU64,
    /// The value of `last` and the number of attributed failures since then.
    excused: AtomicU64,
}

impl Served {
    /// The bits of the number of attributed failures.
    const COUNT: u64 = 0xFF;

    /// Starts without a success, at the creation of an endpoint.
    pub(crate) fn new(since_start: Duration) -> Self {
        Self {
            last: AtomicU64::new(short_millis(since_start)),
            excused: AtomicU64::new(0),
        }
    }

    /// Records a success.
    #[inline]
    pub(crate) fn record(&self, since_start: Duration) {
        self.last
            .store(short_millis(since_start), Ordering::Relaxed);
    }

    /// Returns when the last success was, since the start of the pool.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// Attributes a failure to its request.
    pub(crate) fn excuse(&self) {
        let last = self.last.load(Ordering::Relaxed);
        let one_more = |excused: u64| {
            let count = (count_since(last, excused) + 1).min(Self::COUNT);
            Some(last << 8 | count)
        };
        let order = Ordering::Relaxed;
        let _ = self.excused.fetch_update(order, order, one_more);
    }

    /// Returns whether the endpoint serves other requests.
    pub(crate) fn is_recent(&self, since_start: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let excused = count_since(last, self.excused.load(Ordering::Relaxed));
        excused < MAX_EXCUSED
            && short_millis(since_start).saturating_sub(last) <= short_millis(RECENT)
    }
}

/// Returns the number of attributed failures since the success at `last`.
fn count_since(last: u64, excused: u64) -> u64 {
    if excused >> 8 == last {
        excused & Served::COUNT
    } else {
        0
    }
}

/// Returns milliseconds that leave room for a count.
fn short_millis(time: Duration) -> u64 {
    millis(time).min(u64::MAX >> 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn endpoint_serves_for_ten_seconds_after_a_success() {
        let served = Served::new(SECOND);
        assert!(served.is_recent(11 * SECOND), "it is new");
        assert!(!served.is_recent(11 * SECOND + Duration::from_millis(1)));
        served.record(20 * SECOND);
        assert!(served.is_recent(20 * SECOND));
    }

    #[test]
    fn success_starts_count_of_excused_failures_again() {
        let served = Served::new(Duration::ZERO);
        for second in 1..4 {
            let now = second * SECOND;
            served.record(now);
            for _ in 0..MAX_EXCUSED {
                assert!(served.is_recent(now));
                served.excuse();
            }
            assert!(!served.is_recent(now));
        }
        for _ in 0..1000 {
            served.excuse();
        }
        assert!(
            !served.is_recent(3 * SECOND),
            "the count stops at its maximum"
        );
    }
}
