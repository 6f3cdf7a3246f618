//! A scenario: endpoints, clients and arrivals.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use crate::world::arrivals::Arrivals;
use crate::world::caller::{Caller, merged};
use crate::world::endpoint::Endpoint;

/// Some minutes of traffic, as a value. The [crate docs](crate) have one as an example.
///
/// With [callers](Self::caller), the arrivals belong to the callers:
///
/// ```
/// use std::time::Duration;
/// use steadfast_lab::{Arrivals, Caller, Endpoint, Quota, Scenario, policies};
///
/// let second = Duration::from_secs(1);
/// // Each credential has a quota of its own.
/// let quota = Quota::new(10, second);
/// let endpoint = Endpoint::new("a").requests_of("modest", quota).requests_of("greedy", quota);
/// let caller = |name, rate| Caller::new(name, Arrivals::Poisson(rate)).credential(name);
/// let scenario = Scenario::new("two callers")
///     .endpoint(endpoint)
///     .caller(caller("modest", 5.0))
///     .caller(caller("greedy", 50.0))
///     .lasting(30 * second);
/// let ours = &policies()[0];
/// let callers = scenario.run(&**ours, 1).details.callers;
/// assert_eq!(callers[0].name, "modest");
/// assert!(callers[0].of_fair_share > 0.9);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a scenario does nothing until it is run"]
pub struct Scenario {
    /// The name in tables, plots and on the command line.
    pub(crate) name: String,
    /// The endpoints, in the order of preference.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The arrivals of requests, unless the scenario has callers.
    pub(crate) arrivals: Arrivals,
    /// The load as a share of the quota of all endpoints, as tables print it.
    pub(crate) load: Option<f64>,
    /// The time during which requests arrive.
    pub(crate) lasting: Duration,
    /// The number of independent clients.
    pub(crate) clients: usize,
    /// The maximum number of attempts of a request.
    pub(crate) attempts: u32,
    /// The time from the arrival of a request to its failure.
    pub(crate) deadline: Duration,
    /// Whether policies know the deadline.
    pub(crate) states_deadline: bool,
    /// The callers. Empty: one caller without a name.
    pub(crate) callers: Vec<Caller>,
    /// The time limit of an attempt.
    pub(crate) attempt_timeout: Option<Duration>,
    /// The sizes of requests in tokens, each with its share.
    pub(crate) sizes: Vec<(f64, u32)>,
}

impl Scenario {
    /// Creates a scenario without endpoints: one client, Poisson arrivals of one request a second
    /// for four minutes, 3 attempts, and a deadline of 30 s.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            endpoints: Vec::new(),
            arrivals: Arrivals::Poisson(1.0),
            load: None,
            lasting: Duration::from_secs(240),
            clients: 1,
            attempts: 3,
            deadline: Duration::from_secs(30),
            states_deadline: true,
            callers: Vec::new(),
            attempt_timeout: None,
            sizes: vec![(1.0, 1)],
        }
    }

    /// Adds an endpoint. Their names must differ.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Sets when requests come.
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Lets requests come as Poisson does, at a share of what all endpoints together can serve.
    /// Set the endpoints and the sizes of requests before.
    ///
    /// # Panics
    ///
    /// Panics if an endpoint has no limit, as there is no share of that; and at a load of zero or
    /// less.
    pub fn load(mut self, load: f64) -> Self {
        let rate = load * self.rate();
        assert!(
            rate.is_finite() && rate > 0.0,
            "a load of {load} needs endpoints with limits, and to be more than 0"
        );
        self.arrivals = Arrivals::Poisson(rate);
        self.load = Some(load);
        self
    }

    /// Sets how long requests come.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasting = time;
        self
    }

    /// Spreads the requests evenly over independent clients, which know nothing of each other.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients.max(1);
        self
    }

    /// Sets the most attempts of a request.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the deadline of a request. A request without an answer by then has failed.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Keeps the deadline from the policy, as most callers do.
    pub fn without_stated_deadline(mut self) -> Self {
        self.states_deadline = false;
        self
    }

    /// Adds a caller. Its requests replace the arrivals of the scenario.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.callers.push(caller);
        self
    }

    /// Sets how long an attempt may take. Not limited by default.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets the sizes of requests in tokens, each with its share of all requests. 1 by default.
    pub fn sizes(mut self, sizes: impl IntoIterator<Item = (f64, u32)>) -> Self {
        self.sizes = sizes.into_iter().collect();
        self
    }

    /// Returns how many requests all endpoints together can serve a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let tokens = self.mean_size();
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.rate(tokens))
            .sum()
    }

    /// Returns the share of an endpoint in the rate of all endpoints. Endpoints without limits have
    /// equal shares.
    pub(crate) fn share_of_rate(&self, endpoint: &Endpoint) -> f64 {
        let rate = self.rate();
        if rate.is_finite() {
            endpoint.rate(self.mean_size()) / rate
        } else {
            1.0 / self.endpoints.len() as f64
        }
    }

    /// Returns the mean size of a request in tokens.
    fn mean_size(&self) -> f64 {
        let shares: f64 = self.sizes.iter().map(|(share, _)| share).sum();
        let tokens = self
            .sizes
            .iter()
            .map(|(share, size)| share * f64::from(*size));
        tokens.sum::<f64>() / shares
    }

    /// Returns the times of all requests in order, each with the index of its caller.
    pub(crate) fn requests(&self, seed: u64) -> Vec<(Duration, usize)> {
        if self.callers.is_empty() {
            let times = self.arrivals.times(self.lasting, seed).into_iter();
            return times.map(|time| (time, 0)).collect();
        }
        merged(&self.callers, self.lasting, seed)
    }

    /// Returns the trouble that ends last, with the index of its endpoint.
    pub(crate) fn last_trouble(&self) -> Option<(usize, Range<Duration>)> {
        let troubles = self.endpoints.iter().enumerate().flat_map(|(n, endpoint)| {
            let ranges = endpoint.troubles.iter().map(|(range, _)| range.clone());
            ranges.map(move |range| (n, range))
        });
        troubles.max_by_key(|(_, range)| range.end)
    }

    /// Draws the size of one request in tokens.
    pub(crate) fn draw_size(&self, rng: &mut Rng) -> u32 {
        let shares: f64 = self.sizes.iter().map(|(share, _)| share).sum();
        let mut left = rng.f64() * shares;
        let drawn = self.sizes.iter().find(|(share, _)| {
            left -= share;
            left < 0.0
        });
        drawn.or(self.sizes.last()).map_or(1, |(_, size)| *size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_testkit::Quota;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn load_is_relative_to_sum_of_quotas() {
        let endpoint = |name| Endpoint::new(name).tokens(Quota::new(1_000, SECOND));
        let scenario = Scenario::new("sizes")
            .endpoint(endpoint("a"))
            .endpoint(endpoint("b"))
            .sizes([(0.9, 100), (0.1, 1_100)])
            .load(0.5);
        assert_eq!(scenario.arrivals, Arrivals::Poisson(5.0));
    }

    #[test]
    #[should_panic(expected = "needs endpoints with limits")]
    fn load_of_endpoint_without_limits_panics() {
        let _ = Scenario::new("a").endpoint(Endpoint::new("a")).load(0.5);
    }

    #[test]
    fn request_sizes_have_their_shares() {
        let scenario = Scenario::new("sizes").sizes([(9.0, 100), (1.0, 2_000)]);
        let mut rng = crate::world::random::generator(1, 1);
        let large = (0..10_000)
            .filter(|_| scenario.draw_size(&mut rng) == 2_000)
            .count();
        assert!(large.abs_diff(1_000) < 120, "{large}");
    }
}
