//! The calls of the last ticks, in constant memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The calls of the last [`BUCKETS`] ticks, in constant memory.
#[derive(Debug)]
pub(super) struct TimeRing {
    start: Instant,
    tick: Duration,
    buckets: Box<[Bucket; BUCKETS]>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// The number of the counted tick, from 1.
    tick: AtomicU64,
    /// Bad calls in the upper half, and all calls in the lower.
    counts: AtomicU64,
    /// Held while a new tick begins.
    beginning: Mutex<()>,
}

const BUCKETS: usize = 10;
const BAD: u64 = 1 << 32;

// ===== impl Bucket =====

impl Bucket {
    /// Begins a later tick. Concurrent calls wait, so that none is lost.
    fn begin(&self, tick: u64) {
        let _guard = self
            .beginning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.tick.load(Ordering::Acquire) < tick {
            // In this order, because old counts must never belong to the new tick.
            self.counts.store(0, Ordering::Release);
            self.tick.store(tick, Ordering::Release);
        }
    }
}

// ===== impl TimeRing =====

impl TimeRing {
    pub(super) fn new(time: Duration, start: Instant) -> Self {
        Self {
            start,
            tick: (time / BUCKETS as u32).max(Duration::from_micros(1)),
            buckets: Default::default(),
        }
    }

    pub(super) fn push(&self, bad: bool, now: Instant) {
        let tick = self.tick_at(now);
        let bucket = self.bucket(tick);
        if bucket.tick.load(Ordering::Acquire) < tick {
            bucket.begin(tick);
        }
        // A call that is late by the whole window finds a later tick here.
        if bucket.tick.load(Ordering::Acquire) == tick {
            let one = if bad { BAD + 1 } else { 1 };
            bucket.counts.fetch_add(one, Ordering::AcqRel);
        }
    }

    /// Makes a good call of the newest bad one.
    pub(super) fn take_back(&self, now: Instant) {
        let last = self.tick_at(now);
        let oldest = last.saturating_sub(BUCKETS as u64 - 1);
        for tick in (oldest..=last).rev() {
            let bucket = self.bucket(tick);
            let take = |counts: u64| counts.checked_sub(BAD);
            let order = Ordering::AcqRel;
            if bucket.tick.load(Ordering::Acquire) == tick
                && (bucket.counts.fetch_update(order, Ordering::Acquire, take)).is_ok()
            {
                return;
            }
        }
    }

    pub(super) fn counts(&self, now: Instant) -> (u64, u64) {
        let tick = self.tick_at(now);
        let live = |bucket: &&Bucket| {
            let seen = bucket.tick.load(Ordering::Acquire);
            seen > 0 && seen <= tick && tick - seen < BUCKETS as u64
        };
        let counts = self.buckets.iter().filter(live);
        counts
            .map(|bucket| bucket.counts.load(Ordering::Acquire))
            .fold((0, 0), |(bad, all), counts| {
                (bad + (counts >> 32), all + (counts & (BAD - 1)))
            })
    }

    pub(super) fn clear(&self) {
        for bucket in &*self.buckets {
            bucket.counts.store(0, Ordering::Release);
        }
    }

    fn tick_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(elapsed / self.tick.as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }

    fn bucket(&self, tick: u64) -> &Bucket {
        &self.buckets[usize::try_from(tick % BUCKETS as u64).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn call_leaves_window_after_its_time() {
        let start = Instant::now();
        let ring = TimeRing::new(10 * SECOND, start);
        ring.push(true, start);
        ring.push(false, start + 5 * SECOND);
        for (seconds, expected) in [
            (5, (1, 2)),
            (9, (1, 2)),
            (10, (0, 1)),
            (14, (0, 1)),
            (15, (0, 0)),
        ] {
            assert_eq!(ring.counts(start + seconds * SECOND), expected, "{seconds}");
        }
        // Years later, in a bucket that was used before.
        let later = start + 100_000_000 * SECOND;
        ring.push(true, later);
        assert_eq!(ring.counts(later), (1, 1));
        ring.push(true, start);
        assert_eq!(ring.counts(later), (1, 1), "a late call is not counted");
        ring.take_back(later);
        assert_eq!(ring.counts(later), (0, 1), "the call is good");
        ring.take_back(later);
        assert_eq!(ring.counts(later), (0, 1), "nothing is left to take back");
        ring.clear();
        assert_eq!(ring.counts(later), (0, 0));
    }

    #[test]
    fn concurrent_calls_are_all_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let now = runtime.block_on(async { Instant::now() });
        let ring = TimeRing::new(3600 * SECOND, now);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let ring = &ring;
                scope.spawn(move || {
                    for n in 0..10_000u32 {
                        ring.push((n + thread) % 4 == 0, now);
                    }
                });
            }
        });
        assert_eq!(ring.counts(now), (10_000, 40_000));
    }

    /// The counts of an old tick appeared under the new one for a moment, and concurrent calls were
    /// lost.
    #[test]
    fn concurrent_begin_of_tick_counts_each_call() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let start = runtime.block_on(async { Instant::now() });
        let ring = TimeRing::new(10 * SECOND, start);
        for round in 1..500u32 {
            // A window later, in the bucket of the last round.
            let now = start + 10 * round * SECOND;
            let barrier = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        ring.push(true, now);
                        let (bad, all) = ring.counts(now);
                        assert!((1..=4).contains(&bad) && bad == all, "{bad} of {all}");
                    });
                }
            });
            assert_eq!(ring.counts(now), (4, 4), "round {round}");
        }
    }
}
