//! How many of the last calls were bad: the counters behind rates.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The calls that a rate is taken from: the last so many, or those of the last so many seconds.
///
/// ```
/// use std::time::Duration;
/// use steadfast_breaker::{CircuitBreaker, Window};
///
/// let breaker = CircuitBreaker::builder()
///     .failure_rate(0.5, Window::time(Duration::from_secs(10)).min_calls(5))
///     .build()?;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub(crate) span: Span,
    pub(crate) min_calls: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Calls(u32),
    Time(Duration),
}

/// Counts calls and the bad ones among them. Whoever adds a call takes no lock.
#[derive(Debug)]
pub(crate) enum Counter {
    Calls(CallRing),
    Time(TimeRing),
}

/// The last calls, one bit each.
#[derive(Debug)]
pub(crate) struct CallRing {
    size: u64,
    bits: Box<[AtomicU64]>,
    /// How many calls there have been.
    count: AtomicU64,
    bad: AtomicU64,
}

/// The calls of the last [`BUCKETS`] ticks, in constant memory.
#[derive(Debug)]
pub(crate) struct TimeRing {
    start: Instant,
    tick: Duration,
    buckets: Box<[Bucket; BUCKETS]>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// The number of the tick that is counted here, from 1.
    tick: AtomicU64,
    /// Bad calls in the upper half, and all calls in the lower.
    counts: AtomicU64,
    /// Held by who begins a new tick, once in its time.
    turn: Mutex<()>,
}

const BUCKETS: usize = 10;
const BAD: u64 = 1 << 32;

// ===== impl Window =====

impl Window {
    /// The most calls that a window holds.
    pub const MAX_CALLS: u32 = 100_000;
    /// The calls that a window of time needs before a rate counts, if that is not set.
    pub const DEFAULT_MIN_CALLS: u32 = 10;

    /// Takes the rate from the last `calls` calls, once there were so many.
    #[must_use]
    pub fn calls(calls: u32) -> Self {
        Self {
            span: Span::Calls(calls),
            min_calls: calls,
        }
    }

    /// Takes the rate from the calls of the last `time`, to a tenth of it, once there were
    /// [`DEFAULT_MIN_CALLS`](Self::DEFAULT_MIN_CALLS).
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self {
            span: Span::Time(time),
            min_calls: Self::DEFAULT_MIN_CALLS,
        }
    }

    /// Sets how many calls a window needs before its rate counts.
    #[must_use]
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Whether there is such a window.
    pub(crate) fn is_possible(&self) -> bool {
        let calls = match self.span {
            Span::Calls(calls) => (1..=Self::MAX_CALLS).contains(&calls) && self.min_calls <= calls,
            Span::Time(time) => time >= Duration::from_millis(1),
        };
        calls && self.min_calls >= 1
    }
}

// ===== impl Counter =====

impl Counter {
    pub(crate) fn new(window: Window, now: Instant) -> Self {
        match window.span {
            Span::Calls(calls) => Self::Calls(CallRing::new(calls)),
            Span::Time(time) => Self::Time(TimeRing::new(time, now)),
        }
    }

    /// Whether it asks for the time of a call.
    pub(crate) fn needs_time(&self) -> bool {
        matches!(self, Self::Time(_))
    }

    /// Adds a call.
    pub(crate) fn push(&self, bad: bool, now: Instant) {
        match self {
            Self::Calls(ring) => ring.push(bad),
            Self::Time(ring) => ring.push(bad, now),
        }
    }

    /// Turns the newest good call into a bad one, or adds one if there is none any more.
    pub(crate) fn turn(&self, now: Instant) {
        let turned = match self {
            Self::Calls(ring) => ring.turn(),
            Self::Time(ring) => ring.turn(now),
        };
        if !turned {
            self.push(true, now);
        }
    }

    /// The bad calls, and all calls.
    pub(crate) fn counts(&self, now: Instant) -> (u64, u64) {
        match self {
            Self::Calls(ring) => ring.counts(),
            Self::Time(ring) => ring.counts(now),
        }
    }

    pub(crate) fn clear(&self) {
        match self {
            Self::Calls(ring) => ring.clear(),
            Self::Time(ring) => ring.clear(),
        }
    }
}

// ===== impl CallRing =====

impl CallRing {
    fn new(size: u32) -> Self {
        let words = size.max(1).div_ceil(u64::BITS);
        Self {
            size: u64::from(size.max(1)),
            bits: (0..words).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        }
    }

    fn push(&self, bad: bool) {
        let at = self.count.fetch_add(1, Ordering::Relaxed) % self.size;
        let index = usize::try_from(at / 64).unwrap_or_default();
        let mask = 1 << (at % 64);
        let word = &self.bits[index];
        // The count follows what each change of a bit was, so the two cannot part for good.
        if bad {
            if word.fetch_or(mask, Ordering::Relaxed) & mask == 0 {
                self.bad.fetch_add(1, Ordering::Relaxed);
            }
        } else if word.load(Ordering::Relaxed) & mask != 0
            && word.fetch_and(!mask, Ordering::Relaxed) & mask != 0
        {
            self.bad.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Turns the newest good call into a bad one, if there is one.
    fn turn(&self) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        let mut left = count.min(self.size);
        while left > 0 {
            // From the newest back, a word or what is left of it at a time.
            let newest = (count - 1 - (count.min(self.size) - left)) % self.size;
            let low = (newest % 64 + 1).min(left);
            let in_word = (u64::MAX >> (64 - low)) << (newest % 64 + 1 - low);
            let word = &self.bits[usize::try_from(newest / 64).unwrap_or_default()];
            let good = !word.load(Ordering::Relaxed) & in_word;
            if good == 0 {
                left -= low;
                continue;
            }
            let mask = 1 << (63 - good.leading_zeros());
            // If another thread was faster the word is looked at again.
            if word.fetch_or(mask, Ordering::Relaxed) & mask == 0 {
                self.bad.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn counts(&self) -> (u64, u64) {
        let all = self.count.load(Ordering::Relaxed).min(self.size);
        // A bit and the count change one after the other, so in between it may be below zero.
        let bad = u64::try_from(self.bad.load(Ordering::Relaxed) as i64).unwrap_or(0);
        (bad.min(all), all)
    }

    fn clear(&self) {
        for word in &self.bits {
            let bad = u64::from(word.swap(0, Ordering::Relaxed).count_ones());
            self.bad.fetch_sub(bad, Ordering::Relaxed);
        }
        self.count.store(0, Ordering::Relaxed);
    }
}

// ===== impl Bucket =====

impl Bucket {
    /// Begins to count a later tick. Whoever comes meanwhile waits, so that no call is lost.
    fn begin(&self, tick: u64) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tick.load(Ordering::Acquire) < tick {
            // In this order: old counts must never stand under the new tick.
            self.counts.store(0, Ordering::Release);
            self.tick.store(tick, Ordering::Release);
        }
    }
}

// ===== impl TimeRing =====

impl TimeRing {
    fn new(time: Duration, start: Instant) -> Self {
        Self {
            start,
            tick: (time / BUCKETS as u32).max(Duration::from_micros(1)),
            buckets: Default::default(),
        }
    }

    fn push(&self, bad: bool, now: Instant) {
        let tick = self.tick_at(now);
        let bucket = self.bucket(tick);
        if bucket.tick.load(Ordering::Acquire) < tick {
            bucket.begin(tick);
        }
        // One that is late by the whole window finds a later tick here.
        if bucket.tick.load(Ordering::Acquire) == tick {
            let one = if bad { BAD + 1 } else { 1 };
            bucket.counts.fetch_add(one, Ordering::AcqRel);
        }
    }

    /// Turns the newest good call into a bad one, if there is one.
    fn turn(&self, now: Instant) -> bool {
        let tick = self.tick_at(now);
        let ticks = (0..BUCKETS as u64).map_while(|ago| tick.checked_sub(ago));
        let mut live = ticks.filter_map(|tick| {
            let bucket = self.bucket(tick);
            (bucket.tick.load(Ordering::Acquire) == tick).then_some(bucket)
        });
        let turn = |counts: u64| (counts >> 32 < counts % BAD).then_some(counts + BAD);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        live.any(|bucket| bucket.counts.fetch_update(set, fetch, turn).is_ok())
    }

    fn counts(&self, now: Instant) -> (u64, u64) {
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

    fn clear(&self) {
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
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_call_leaves_a_window_of_time_after_that_time() {
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
        // What was turned counts as old as it is, and never twice.
        assert!(ring.turn(start + 14 * SECOND));
        assert_eq!(ring.counts(start + 14 * SECOND), (1, 1));
        assert!(!ring.turn(start + 14 * SECOND) && !ring.turn(start + 15 * SECOND));
        // Years later, with a bucket that was used before.
        let later = start + 100_000_000 * SECOND;
        ring.push(true, later);
        assert_eq!(ring.counts(later), (1, 1));
        ring.push(true, start);
        assert_eq!(ring.counts(later), (1, 1), "what is late is not counted");
        ring.clear();
        assert_eq!(ring.counts(later), (0, 0));
    }

    #[test]
    fn threads_lose_no_call() {
        let ring = CallRing::new(1000);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let now = runtime.block_on(async { Instant::now() });
        let time = TimeRing::new(3600 * SECOND, now);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let (ring, time) = (&ring, &time);
                scope.spawn(move || {
                    for n in 0..10_000u32 {
                        let bad = (n + thread) % 4 == 0;
                        ring.push(bad);
                        time.push(bad, now);
                    }
                });
            }
        });
        let bits = ring
            .bits
            .iter()
            .map(|word| word.load(Ordering::Relaxed).count_ones());
        assert_eq!(
            u64::from(bits.sum::<u32>()),
            ring.counts().0,
            "the count is that of the bits"
        );
        let (bad, all) = time.counts(now);
        assert_eq!((bad, all), (10_000, 40_000));
    }

    /// The counts of a tick of long ago would otherwise show under the new one for a moment, and
    /// the calls that meet there would be lost.
    #[test]
    fn threads_that_begin_a_tick_together_count_each_call() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let start = runtime.block_on(async { Instant::now() });
        let ring = TimeRing::new(10 * SECOND, start);
        for round in 1..500u32 {
            // Each time in the bucket of the last, a window later.
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

    proptest! {
        #[test]
        fn counts_what_a_list_counts(
            size in 1..200u32,
            calls in prop::collection::vec(prop::option::of(any::<bool>()), 0..600),
            clear in prop::option::of(0..600usize),
        ) {
            let ring = CallRing::new(size);
            let mut list = VecDeque::new();
            for (n, &call) in calls.iter().enumerate() {
                if clear == Some(n) {
                    ring.clear();
                    list.clear();
                }
                if let Some(bad) = call {
                    ring.push(bad);
                    list.push_back(bad);
                } else {
                    // The newest good one was none.
                    let newest = list.iter().rposition(|bad| !bad);
                    prop_assert_eq!(ring.turn(), newest.is_some());
                    if let Some(newest) = newest {
                        list[newest] = true;
                    }
                }
                if list.len() > size as usize {
                    list.pop_front();
                }
                let bad = list.iter().filter(|&&bad| bad).count() as u64;
                prop_assert_eq!(ring.counts(), (bad, list.len() as u64));
            }
        }
    }
}
