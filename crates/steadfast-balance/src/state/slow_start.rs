//! The growth of the attempts in flight after an outage, as in the slow start of TCP.
//!
//! The requests that waited for the end of an outage would all be sent at its first success, and
//! many endpoints would be down again. Instead the endpoint gets as many attempts at once as it has
//! served without delay before, and at least ten. With each success the bound grows by one, so it
//! doubles in the time of an answer. If an answer takes longer than the answers before the outage,
//! its endpoint is busy, and the bound grows by one in the time of an answer (as in `HyStart`, RFC
//! 9406). The premise is a queue: without waiters there is no bound.
//!
//! This costs waiters of slow answers some time: a long queue is sent in several parts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The least first bound, as for the segments of a connection (RFC 6928).
const FIRST: u32 = 10;
/// The unit of the bound: one attempt.
const WHOLE: u32 = 1_000;
/// An answer takes long if it needs this multiple of the earlier average.
const LONG: f32 = 1.25;

/// The bound of the attempts in flight at an endpoint that has recovered.
#[derive(Debug, Default)]
pub(crate) struct SlowStart {
    /// The bound in thousandths of an attempt, or zero for none.
    window: AtomicU32,
    /// The average latency before the outage in seconds, as bits.
    usual: AtomicU32,
    /// The most attempts in flight at a success that did not take long.
    served_at_once: AtomicU32,
}

impl SlowStart {
    /// Returns whether there is a bound.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.window.load(Ordering::Relaxed) != 0
    }

    /// Returns whether a further attempt may be sent beside the ones in flight.
    #[inline]
    pub(crate) fn admits(&self, in_flight: impl FnOnce() -> u32) -> bool {
        let window = self.window.load(Ordering::Relaxed);
        window == 0 || in_flight() < window / WHOLE
    }

    /// Begins at the first success after an outage, while requests wait. `usual` is the average
    /// latency before the outage, in seconds.
    pub(crate) fn begin(&self, usual: f32) {
        if self.window.load(Ordering::Relaxed) == 0 {
            let first = self.served_at_once.load(Ordering::Relaxed).max(FIRST);
            self.usual.store(usual.to_bits(), Ordering::Relaxed);
            self.window
                .store(first.saturating_mul(WHOLE), Ordering::Relaxed);
        }
    }

    /// Records a success: its latency, and the attempts in flight. `usual` returns the average
    /// latency in seconds. The slow start ends without waiters.
    #[inline]
    pub(crate) fn succeeded(
        &self,
        (latency, in_flight): (Duration, u32),
        usual: impl FnOnce() -> f32,
        has_waiters: impl FnOnce() -> bool,
    ) {
        let is_quick = |usual: f32| latency.as_secs_f32() <= LONG * usual;
        let window = self.window.load(Ordering::Relaxed);
        if window == 0 {
            // The usual case leaves the cache line clean.
            if in_flight > self.served_at_once.load(Ordering::Relaxed) && is_quick(usual()) {
                self.served_at_once.store(in_flight, Ordering::Relaxed);
            }
            return;
        }
        let more = match is_quick(f32::from_bits(self.usual.load(Ordering::Relaxed))) {
            true => WHOLE,
            false => (WHOLE * WHOLE / window).max(1),
        };
        let next = match has_waiters() {
            true => window.saturating_add(more),
            false => 0,
        };
        self.window.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(100);

    /// Returns the number of attempts that are admitted at once.
    fn room(start: &SlowStart) -> u32 {
        (0..10_000)
            .take_while(|sent| start.admits(|| *sent))
            .count() as u32
    }

    fn answer(start: &SlowStart, latency: Duration, has_waiters: bool) {
        let usual = USUAL.as_secs_f32();
        start.succeeded((latency, 5), || usual, || has_waiters);
    }

    #[test]
    fn bound_doubles_with_the_answers_to_all_attempts_while_they_are_quick() {
        let start = SlowStart::default();
        assert_eq!(room(&start), 10_000, "no outage");
        start.begin(USUAL.as_secs_f32());
        for expected in [10, 20, 40, 80] {
            let sent = room(&start);
            assert_eq!(sent, expected);
            for _ in 0..sent {
                answer(&start, USUAL, true);
            }
        }
        // A second endpoint of the pool recovers, or another probe succeeds.
        start.begin(1.0);
        assert_eq!(room(&start), 160);
    }

    /// All waiters of an outage were sent at its first success, and the endpoint was down again.
    #[test]
    fn slow_answers_raise_the_bound_by_one_in_the_time_of_an_answer() {
        let start = SlowStart::default();
        start.begin(USUAL.as_secs_f32());
        for expected in [10, 11, 12, 13] {
            let sent = room(&start);
            assert_eq!(sent, expected);
            for _ in 0..sent {
                answer(&start, 2 * USUAL, true);
            }
            // The rounding is in favour of the endpoint.
            answer(&start, 2 * USUAL, true);
        }
    }

    /// Answers that take long show that fewer attempts would have been served as soon.
    #[test]
    fn first_bound_is_the_number_of_attempts_that_were_served_without_delay() {
        for (latency, expected) in [(USUAL, 50), (2 * USUAL, 10)] {
            let start = SlowStart::default();
            for in_flight in [50, 40] {
                let usual = USUAL.as_secs_f32();
                start.succeeded((latency, in_flight), || usual, || false);
            }
            start.begin(USUAL.as_secs_f32());
            assert_eq!(room(&start), expected, "{latency:?}");
        }
    }

    #[test]
    fn bound_ends_with_the_queue() {
        let start = SlowStart::default();
        start.begin(USUAL.as_secs_f32());
        answer(&start, USUAL, true);
        assert_eq!(room(&start), 11);
        answer(&start, USUAL, false);
        assert_eq!(room(&start), 10_000);
    }
}
