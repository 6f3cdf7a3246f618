//! A simulated endpoint: its limits, latency and failures.

use std::ops::Range;
use std::time::Duration;

use steadfast_testkit::Quota;

use crate::world::latency::Latency;

/// An endpoint, as a user would describe it.
///
/// ```
/// use std::time::Duration;
/// use steadfast_lab::{Endpoint, Latency, Quota};
///
/// let second = Duration::from_secs(1);
/// let endpoint = Endpoint::new("large")
///     .requests(Quota::new(20, second))
///     .latency(Latency::LogNormal(second, 0.5));
/// ```
#[derive(Clone, Debug)]
#[must_use = "an endpoint does nothing until it is part of a scenario"]
pub struct Endpoint {
    /// The name, which is also the first label of its host.
    pub(crate) name: &'static str,
    /// The quota of requests. `None`: unlimited.
    pub(crate) requests: Option<Quota>,
    /// The quotas of single callers, beside the quota of all others.
    pub(crate) of_callers: Vec<(&'static str, Quota)>,
    /// The quota of tokens. `None`: unlimited.
    pub(crate) tokens: Option<Quota>,
    /// The format of the hint of a `429`.
    pub(crate) hint: Hint,
    /// The time of a success, without the time in the queue.
    pub(crate) latency: Latency,
    /// The time of a refusal or a failure.
    pub(crate) refusal: Duration,
    /// The requests in progress at a time. `None`: unlimited.
    pub(crate) capacity: Option<u32>,
    /// The share of requests that fail with `500`.
    pub(crate) failures: f64,
    /// The share of requests that are refused without a quota as the cause.
    pub(crate) random_limits: f64,
    /// The requests per second of another process.
    pub(crate) neighbour: Option<f64>,
    /// The faults, each with its time since the start.
    pub(crate) troubles: Vec<(Range<Duration>, Trouble)>,
    /// The initial factor of the latency, and the time until it is 1.
    pub(crate) slow_start: Option<(f64, Duration)>,
    /// The cost of a success, in any unit.
    pub(crate) cost: f64,
}

/// The format of the hint of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Not at all.
    Absent,
    /// With `retry-after-ms`, rounded up to a millisecond.
    Millis,
    /// With `retry-after` in whole seconds, rounded up, as most providers do.
    Seconds,
}

/// A temporary fault of an endpoint.
///
/// Troubles may overlap. The effect on a request, by its time of arrival:
///
/// | Trouble | Answer | After |
/// |---|---|---|
/// | `Refuses` | a failed connect; an open connection breaks at the start of the trouble | the time of a refusal |
/// | `Hangs` | none | |
/// | `Fails` | its status, for a share of the requests | the time of a refusal |
/// | `Limits` | `429` with its hint | the time of a refusal |
/// | `Quota` | `429` above its quota | the time of a refusal |
/// | `Slow` | the usual one | the latency times its factor |
/// | `Capacity` | the usual one | the latency, and a longer time in the queue |
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// It works on a share of the requests that it could, from 0 to 1. Needs a
    /// [`capacity`](Endpoint::capacity).
    Capacity(f64),
    /// It answers a share of the requests with this status, as fast as it refuses.
    Fails(f64, u16),
    /// It takes requests and never answers.
    Hangs,
    /// It answers all requests with `429` and this hint.
    Limits(Duration),
    /// It has this quota of requests besides its own.
    Quota(Quota),
    /// Its port is closed, and connections break that were open.
    Refuses,
    /// It takes longer by a factor.
    Slow(f64),
}

impl Endpoint {
    /// Creates an endpoint without limits that answers after a second.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            requests: None,
            of_callers: Vec::new(),
            tokens: None,
            hint: Hint::Seconds,
            latency: Latency::Constant(Duration::from_secs(1)),
            refusal: Duration::from_millis(30),
            capacity: None,
            failures: 0.0,
            random_limits: 0.0,
            neighbour: None,
            troubles: Vec::new(),
            slow_start: None,
            cost: 1.0,
        }
    }

    /// Limits the requests. Requests beyond the limit are refused with `429`.
    pub fn requests(mut self, quota: Quota) -> Self {
        self.requests = Some(quota);
        self
    }

    /// Limits the requests of a caller by a quota of its own, as of a model or a credential.
    pub fn requests_of(mut self, caller: &'static str, quota: Quota) -> Self {
        self.of_callers.push((caller, quota));
        self
    }

    /// Limits the tokens of the requests. A request that is larger than the burst never passes.
    pub fn tokens(mut self, quota: Quota) -> Self {
        self.tokens = Some(quota);
        self
    }

    /// Sets the format of the hint of a refusal. Defaults to whole seconds.
    pub fn hint(mut self, hint: Hint) -> Self {
        self.hint = hint;
        self
    }

    /// Sets how long an answer takes.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// Sets how long a refusal or a failure takes. 30 ms by default.
    pub fn refusal(mut self, time: Duration) -> Self {
        self.refusal = time;
        self
    }

    /// Sets how many requests it works on at a time. Others wait in a queue, first come first
    /// served. What a client has given up is worked on all the same: servers rarely notice.
    pub fn capacity(mut self, requests: u32) -> Self {
        self.capacity = Some(requests);
        self
    }

    /// Sets the share of requests that fail with `500`, independently of each other.
    pub fn failures(mut self, share: f64) -> Self {
        self.failures = share;
        self
    }

    /// Sets the share of requests that are refused with `429` and a hint of one second,
    /// independently of each other and of any quota.
    pub fn random_limits(mut self, share: f64) -> Self {
        self.random_limits = share;
        self
    }

    /// Adds another process that uses the quota of requests. Its requests come as Poisson does,
    /// with this average number per second.
    pub fn neighbour(mut self, per_second: f64) -> Self {
        self.neighbour = Some(per_second);
        self
    }

    /// Adds a time of trouble, in seconds since the start.
    pub fn trouble(mut self, seconds: Range<u64>, trouble: Trouble) -> Self {
        let range = Duration::from_secs(seconds.start)..Duration::from_secs(seconds.end);
        self.troubles.push((range, trouble));
        self
    }

    /// Makes it slower by a factor at the start and after each trouble, and evenly faster from
    /// there until `time` has passed.
    pub fn slow_start(mut self, factor: f64, time: Duration) -> Self {
        self.slow_start = Some((factor, time));
        self
    }

    /// Sets what a served request costs, in any unit. 1 by default.
    pub fn cost(mut self, cost: f64) -> Self {
        self.cost = cost;
        self
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns how many requests of `tokens` each it can serve a second.
    #[must_use]
    pub fn rate(&self, tokens: f64) -> f64 {
        let capacity = self
            .capacity
            .map(|n| f64::from(n) / self.latency.mean().as_secs_f64());
        [
            self.requests.as_ref().map(per_second),
            self.rate_of_callers(),
            self.tokens.as_ref().map(|quota| per_second(quota) / tokens),
            capacity,
        ]
        .into_iter()
        .flatten()
        .fold(f64::INFINITY, f64::min)
    }

    /// Returns the requests per second of all callers with a quota of their own, or `None` without
    /// such callers.
    fn rate_of_callers(&self) -> Option<f64> {
        let rates = self.of_callers.iter().map(|(_, quota)| per_second(quota));
        rates.reduce(|sum, rate| sum + rate)
    }

    /// Returns the requests per second of one caller, or `None` without a quota of its own.
    pub(crate) fn rate_of(&self, caller: &str) -> Option<f64> {
        let mut quotas = self.of_callers.iter();
        let found = quotas.find(|(name, _)| *name == caller);
        found.map(|(_, quota)| per_second(quota))
    }

    /// Returns the faults at a time since the start, in the order of the configuration.
    pub(crate) fn troubles_at(&self, at: Duration) -> impl Iterator<Item = Trouble> + '_ {
        let now = self
            .troubles
            .iter()
            .filter(move |(range, _)| range.contains(&at));
        now.map(|(_, trouble)| *trouble)
    }

    /// Returns the slots at a time since the start, reduced by [`Trouble::Capacity`].
    pub(crate) fn capacity_at(&self, at: Duration) -> Option<u32> {
        let share = self
            .troubles_at(at)
            .fold(1.0, |left, trouble| match trouble {
                Trouble::Capacity(share) => left * share,
                _ => left,
            });
        self.capacity.map(|n| (f64::from(n) * share).round() as u32)
    }

    /// Returns the factor of the latency at a time since the start.
    pub(crate) fn slowness_at(&self, at: Duration) -> f64 {
        let trouble = self
            .troubles_at(at)
            .fold(1.0, |slow, trouble| match trouble {
                Trouble::Slow(factor) => slow * factor,
                _ => slow,
            });
        trouble * self.start_slowness_at(at)
    }

    /// Returns the factor of [`slow_start`](Self::slow_start). It falls linearly to 1, from the
    /// start or from the end of the last fault.
    fn start_slowness_at(&self, at: Duration) -> f64 {
        let Some((factor, time)) = self.slow_start else {
            return 1.0;
        };
        let ends = self.troubles.iter().map(|(range, _)| range.end);
        let started = ends.filter(|end| *end <= at).max().unwrap_or_default();
        let left = 1.0 - (at - started).as_secs_f64() / time.as_secs_f64();
        1.0 + (factor - 1.0) * left.max(0.0)
    }

    /// Returns whether no fault overlaps a span.
    pub(crate) fn is_healthy_in(&self, span: Range<Duration>) -> bool {
        let mut troubles = self.troubles.iter();
        !troubles.any(|(trouble, _)| trouble.start <= span.end && span.start < trouble.end)
    }

    /// Returns the first instant of a span at which the port is closed. Connections that are open
    /// then break.
    pub(crate) fn breaks_in(&self, span: Range<Duration>) -> Option<Duration> {
        let starts = self
            .troubles
            .iter()
            .filter_map(|(range, trouble)| match trouble {
                Trouble::Refuses => Some(range.start),
                _ => None,
            });
        starts.filter(|start| span.contains(start)).min()
    }
}

/// Returns the requests per second of a quota in the long run, without its burst.
fn per_second(quota: &Quota) -> f64 {
    f64::from(quota.requests()) / quota.window().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rate_is_limited_by_narrowest_limit() {
        let endpoint = Endpoint::new("a").requests(Quota::new(20, SECOND));
        assert_eq!(endpoint.rate(1.0), 20.0);
        let endpoint = endpoint.tokens(Quota::new(60_000, 60 * SECOND));
        assert_eq!(endpoint.rate(100.0), 10.0);
        let endpoint = endpoint.capacity(5);
        assert_eq!(endpoint.rate(100.0), 5.0);
        assert_eq!(Endpoint::new("b").rate(1.0), f64::INFINITY);
    }

    #[test]
    fn rates_of_callers_add_up() {
        let endpoint = Endpoint::new("a")
            .requests_of("chat", Quota::new(20, SECOND))
            .requests_of("batch", Quota::new(60, 60 * SECOND));
        assert_eq!(endpoint.rate(1.0), 21.0);
        assert_eq!(endpoint.rate_of("batch"), Some(1.0));
        assert_eq!(endpoint.rate_of("other"), None);
    }

    #[test]
    fn trouble_lasts_from_start_to_end() {
        let endpoint = Endpoint::new("a")
            .capacity(20)
            .trouble(10..20, Trouble::Capacity(0.3))
            .trouble(15..20, Trouble::Slow(2.0));
        let nano = Duration::from_nanos(1);
        assert_eq!(endpoint.capacity_at(10 * SECOND - nano), Some(20));
        assert_eq!(endpoint.capacity_at(10 * SECOND), Some(6));
        assert_eq!(endpoint.capacity_at(20 * SECOND), Some(20));
        assert_eq!(endpoint.slowness_at(14 * SECOND), 1.0);
        assert_eq!(endpoint.slowness_at(15 * SECOND), 2.0);
    }

    #[test]
    fn slow_start_applies_at_start_and_after_trouble() {
        let endpoint = Endpoint::new("a")
            .slow_start(3.0, 10 * SECOND)
            .trouble(50..60, Trouble::Refuses);
        for (at, slowness) in [
            (0, 3.0),
            (5, 2.0),
            (10, 1.0),
            (40, 1.0),
            (60, 3.0),
            (65, 2.0),
        ] {
            assert_eq!(endpoint.slowness_at(at * SECOND), slowness, "at {at} s");
        }
    }

    #[test]
    fn closing_port_breaks_connections() {
        let endpoint = Endpoint::new("a").trouble(10..20, Trouble::Refuses);
        assert_eq!(endpoint.breaks_in(8 * SECOND..9 * SECOND), None);
        assert_eq!(
            endpoint.breaks_in(8 * SECOND..11 * SECOND),
            Some(10 * SECOND)
        );
        assert_eq!(endpoint.breaks_in(20 * SECOND..30 * SECOND), None);
    }
}
