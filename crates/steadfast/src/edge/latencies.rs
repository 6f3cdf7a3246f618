//! The latencies of one endpoint, as the measure of a slow attempt.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The models of an endpoint with a measure of their own. Further models have none.
const MODELS: usize = 64;
/// The places at which a model is searched.
const PLACES: usize = 4;
/// The buckets of a doubling, and the doublings up to 17 minutes.
const STEPS: usize = 8;
const BUCKETS: usize = STEPS * 13;
/// The width of the first buckets. A shorter latency makes no difference here.
const UNIT: Duration = Duration::from_micros(31_250);
/// The counts are halved after this many latencies, so that the latest ones decide.
const WINDOW: u32 = 1_024;
/// The number of heads after which an endpoint is known to return them fast.
const ENOUGH: u32 = 20;
/// The attempts in silence that count as slow, at most.
const MAX_SILENT: u32 = 64;

/// The latencies of the successes of one endpoint, for each model. It has a fixed size, and no
/// lock.
pub(crate) struct Latencies {
    start: Instant,
    /// The microseconds from the start to the last head of any response.
    last_head: AtomicU64,
    /// The slow attempts since the last success that were left while the endpoint answered nothing.
    silent: AtomicU32,
    models: Box<[Model]>,
}

/// The latencies of one model.
pub(crate) struct Model {
    /// The hash of the name, or 0 for a free place.
    key: AtomicU64,
    /// From the start of an attempt to the head of its response.
    heads: Histogram,
    /// From the start of an attempt to its first visible token, or to the end of a whole answer.
    answers: Histogram,
}

/// The counts of the latest latencies.
struct Histogram {
    counts: [AtomicU32; BUCKETS],
    total: AtomicU32,
}

// ===== impl Latencies =====

impl Latencies {
    /// Starts without latencies.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last_head: AtomicU64::new(0),
            silent: AtomicU32::new(0),
            models: (0..MODELS).map(|_| Model::new()).collect(),
        }
    }

    /// Records the head of a response.
    pub(crate) fn answered(&self, now: Instant) {
        self.last_head.store(self.micros(now), Ordering::Relaxed);
    }

    /// Returns whether a head has come since `since`.
    pub(crate) fn has_answered_since(&self, since: Instant) -> bool {
        self.last_head.load(Ordering::Relaxed) > self.micros(since)
    }

    /// Returns the latencies of a model, if it has succeeded.
    pub(crate) fn of(&self, key: u64) -> Option<&Model> {
        let is_it = |model: &&Model| model.key.load(Ordering::Relaxed) == key;
        self.places(key).find(is_it)
    }

    /// Records a success of a model.
    ///
    /// The endpoint is slow and not dead: the attempts that were left would have taken as long.
    pub(crate) fn record(&self, key: u64, head: Duration, answer: Duration) {
        if let Some(model) = self.of(key).or_else(|| self.add(key)) {
            model.record(head, answer);
            if self.silent.load(Ordering::Relaxed) > 0 {
                let silent = self.silent.swap(0, Ordering::Relaxed);
                (0..silent.min(MAX_SILENT)).for_each(|_| model.record(head, answer));
            }
        }
    }

    /// Records a lower bound of a latency.
    pub(crate) fn record_bound(&self, key: u64, bound: Duration) {
        if let Some(model) = self.of(key) {
            model.record(bound, bound);
        }
    }

    /// Records an attempt that was left while the endpoint answered nothing.
    pub(crate) fn record_silence(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the factor for the next missing head: it doubles after each four attempts that were
    /// left. Otherwise an endpoint that has become slower would never show it.
    pub(crate) fn patience(&self) -> u32 {
        1 << (self.silent.load(Ordering::Relaxed) / 4).min(8)
    }

    /// Takes a free place for a model.
    fn add(&self, key: u64) -> Option<&Model> {
        let order = Ordering::Relaxed;
        let take = |model: &&Model| {
            let taken = model.key.compare_exchange(0, key, order, order);
            taken.is_ok_and(|_| true) || taken == Err(key)
        };
        self.places(key).find(take)
    }

    /// Returns the places at which a model can be.
    fn places(&self, key: u64) -> impl Iterator<Item = &Model> {
        let first = key as usize;
        (0..PLACES).map(move |n| &self.models[first.wrapping_add(n) % MODELS])
    }

    /// Returns the microseconds from the start to an instant.
    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latencies").finish_non_exhaustive()
    }
}

// ===== impl Model =====

impl Model {
    fn new() -> Self {
        Self {
            key: AtomicU64::new(0),
            heads: Histogram::new(),
            answers: Histogram::new(),
        }
    }

    /// Counts the latencies of one success.
    fn record(&self, head: Duration, answer: Duration) {
        self.heads.record(head);
        self.answers.record(answer);
    }

    /// Returns a latency that one of 100 heads exceeds, if enough are known.
    pub(crate) fn p99_of_heads(&self) -> Option<Duration> {
        let is_known = self.heads.total.load(Ordering::Relaxed) >= ENOUGH;
        is_known.then(|| self.heads.p99())
    }

    /// Returns a latency that one of 100 answers exceeds, or zero without an answer.
    pub(crate) fn p99_of_answers(&self) -> Duration {
        self.answers.p99()
    }
}

// ===== impl Histogram =====

impl Histogram {
    fn new() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU32::new(0)),
            total: AtomicU32::new(0),
        }
    }

    fn record(&self, latency: Duration) {
        let order = Ordering::Relaxed;
        self.counts[bucket(latency)].fetch_add(1, order);
        if self.total.fetch_add(1, order) + 1 != WINDOW {
            return;
        }
        // One thread halves. The latencies that others record meanwhile may count twice or not at
        // all.
        let mut total = 0;
        for count in &self.counts {
            let half = count.load(order) / 2;
            count.store(half, order);
            total += half;
        }
        self.total.store(total, order);
    }

    /// Returns the end of the bucket with the 99th percentile. It is rounded up by at most an
    /// eighth.
    fn p99(&self) -> Duration {
        let counts = || self.counts.iter().map(|it| it.load(Ordering::Relaxed));
        let total: u32 = counts().sum();
        let rank = total - total / 100;
        let mut below = 0;
        let found = counts().position(|count| {
            below += count;
            count > 0 && below >= rank
        });
        found.map_or(Duration::ZERO, end_of)
    }
}

/// Returns the bucket of a latency: linear up to 8 units, then 8 buckets per doubling.
fn bucket(latency: Duration) -> usize {
    let units = u64::try_from(latency.as_micros() / UNIT.as_micros()).unwrap_or(u64::MAX);
    if units < STEPS as u64 {
        return units as usize;
    }
    let doublings = units.ilog2() - STEPS.ilog2();
    let step = (units >> doublings) as usize - STEPS;
    (STEPS * (doublings as usize + 1) + step).min(BUCKETS - 1)
}

/// Returns the start of the next bucket.
fn end_of(bucket: usize) -> Duration {
    let next = bucket + 1;
    let (doublings, step) = (next / STEPS, next % STEPS);
    let units = match doublings.checked_sub(1) {
        None => step,
        Some(doublings) => (STEPS + step) << doublings,
    };
    UNIT * units as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn p99_is_exceeded_by_one_of_100() {
        let histogram = Histogram::new();
        assert_eq!(histogram.p99(), Duration::ZERO);
        for n in 0..1_000 {
            histogram.record(millis(1_000 + n * 9));
        }
        let p99 = histogram.p99();
        assert!(p99 >= millis(9_901) && p99 <= millis(11_200), "{p99:?}");
    }

    #[test]
    fn p99_follows_a_change_of_latency() {
        let histogram = Histogram::new();
        for latency in [40_000, 10, 40_000] {
            for _ in 0..10 * WINDOW {
                histogram.record(millis(latency));
            }
            let (p99, exact) = (histogram.p99(), millis(latency));
            assert!(p99 > exact && p99 <= exact * 9 / 8 + UNIT, "{p99:?}");
        }
    }

    #[test]
    fn latency_is_below_end_of_its_bucket() {
        for exponent in 0..50 {
            let latency = Duration::from_micros(1 << exponent);
            let found = bucket(latency);
            assert!(
                latency < end_of(found) || found == BUCKETS - 1,
                "{latency:?}"
            );
        }
        assert!(end_of(BUCKETS - 1) > Duration::from_secs(1_000));
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    /// A caller may name any number of models.
    #[tokio::test(start_paused = true)]
    async fn number_of_models_is_bounded() {
        let latencies = Latencies::new();
        for key in 1..10_000 {
            latencies.record(key, millis(10), millis(10));
        }
        let known = (1..10_000).filter(|&key| latencies.of(key).is_some());
        assert_eq!(known.count(), MODELS);
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_heads_make_an_endpoint_known() {
        let latencies = Latencies::new();
        for n in 0..ENOUGH {
            let model = latencies.of(1);
            assert_eq!(model.and_then(Model::p99_of_heads), None, "{n} heads");
            latencies.record(1, millis(10), millis(10));
        }
        let model = latencies.of(1).expect("known");
        assert_eq!(model.p99_of_heads(), Some(UNIT));
    }
}
