//! Prequal's rule: the fastest of the cold ones, or the least busy if all are hot.
//!
//! Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal" (NSDI
//! 2024). Its probes ask servers for their load. Providers have no such call, so the client uses
//! its own counts.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::pick::{least, untried};
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Kind, Progress, Rules};
use crate::policy::setup::Setup;

/// The quantile of the requests in flight above which an endpoint is hot: 2^-0.25, as in the paper.
const Q_RIF: f64 = 0.84;
/// The number of probes for the quantile.
const PROBES: usize = 128;
/// The number of latencies for the median of an endpoint.
const ANSWERS: usize = 15;

/// The state of one client.
struct Prequal {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The requests in flight at each endpoint.
    in_flight: Vec<u32>,
    /// The last latencies of successes at each endpoint.
    latencies: Vec<VecDeque<Duration>>,
    /// The last observed requests in flight, of all endpoints.
    probes: VecDeque<u32>,
    /// Decides among equals.
    rng: Rng,
}

/// Returns the policy `prequal`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "prequal",
        about: "Prequal-like: an endpoint is hot above the 0.84 quantile of requests in \
                flight; the fastest cold endpoint, or the least busy one if all are hot; at \
                once to another after a failure; without probes of servers, so by the client's \
                own counts",
        rules: |setup: &Setup| {
            Prequal::new(setup.attempts(), setup.endpoints().len(), setup.seed())
        },
    })
}

impl Prequal {
    /// Creates the state of a client without samples.
    fn new(attempts: u32, endpoints: usize, seed: u64) -> Self {
        Self {
            attempts,
            in_flight: vec![0; endpoints],
            latencies: vec![VecDeque::new(); endpoints],
            probes: VecDeque::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Records the requests in flight of all endpoints. In the paper a request probes a few
    /// servers. Here a probe costs nothing.
    fn probe(&mut self) {
        self.probes.extend(&self.in_flight);
        let surplus = self.probes.len().saturating_sub(PROBES);
        self.probes.drain(..surplus);
    }
}

impl Rules for Prequal {
    fn choose(&mut self, request: &Progress, _: Instant) -> Option<usize> {
        self.probe();
        let hot = quantile(&self.probes, Q_RIF)?;
        let candidates = untried(request, self.in_flight.len());
        let cold: Vec<_> = candidates
            .iter()
            .copied()
            .filter(|&n| self.in_flight[n] <= hot)
            .collect();
        if cold.is_empty() {
            return least(&candidates, |n| self.in_flight[n], &mut self.rng);
        }
        // An endpoint without an answer has no latency yet and comes first.
        let latencies: Vec<_> = self
            .latencies
            .iter()
            .map(|all| quantile(all, 0.5))
            .collect();
        least(&cold, |n| latencies[n], &mut self.rng)
    }

    fn sent(&mut self, endpoint: usize) {
        self.in_flight[endpoint] += 1;
    }

    fn ended(&mut self, endpoint: usize, end: End, _: Instant) {
        self.in_flight[endpoint] -= 1;
        // The paper has unpublished means against servers that fail fast and so look fast. Here
        // the latency of a failure does not count.
        if end.kind == Kind::Success {
            let latencies = &mut self.latencies[endpoint];
            latencies.push_back(end.took);
            if latencies.len() > ANSWERS {
                latencies.pop_front();
            }
        }
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        (request.attempts() < self.attempts).then_some(Duration::ZERO)
    }
}

/// Returns the quantile `q` by the nearest rank.
fn quantile<T: Copy + Ord>(values: &VecDeque<T>, q: f64) -> Option<T> {
    let mut sorted: Vec<_> = values.iter().copied().collect();
    sorted.sort_unstable();
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn prequal(in_flight: [u32; 4], seconds: [u32; 4], probes: u32) -> Prequal {
        let mut rules = Prequal::new(3, 4, 1);
        rules.in_flight = in_flight.to_vec();
        rules.latencies = seconds.map(|n| VecDeque::from([n * SECOND])).to_vec();
        rules.probes = VecDeque::from(vec![probes; PROBES]);
        rules
    }

    /// facts/proxies.md, a.3: "hot if RIF > quantile; cold -> min latency; all hot -> min RIF".
    #[test]
    fn hot_and_cold_endpoints_compare_as_in_paper() {
        let none = Progress::default();
        let now = Instant::now();
        for (in_flight, usual, chosen) in [
            ([9, 0, 10, 0], 10, 2),
            ([9, 0, 11, 0], 10, 0),
            ([12, 11, 13, 10], 10, 3),
            ([12, 11, 13, 14], 10, 1),
        ] {
            let mut rules = prequal(in_flight, [2, 3, 1, 4], usual);
            assert_eq!(rules.choose(&none, now), Some(chosen), "{in_flight:?}");
        }
        assert!((Q_RIF - 2f64.powf(-0.25)).abs() < 0.001);
    }

    #[test]
    fn unknown_endpoints_come_first_and_tried_endpoints_last() {
        let now = Instant::now();
        let mut rules = prequal([1; 4], [2, 3, 1, 4], 10);
        rules.latencies[3].clear();
        let mut request = Progress::default();
        for expected in [3, 2, 0, 1, 3] {
            assert_eq!(rules.choose(&request, now), Some(expected));
            request.tried.push(expected);
        }
    }

    #[test]
    fn failure_does_not_lower_latency() {
        let mut rules = prequal([1; 4], [2, 3, 1, 4], 10);
        let mut end = |kind| {
            let took = Duration::ZERO;
            let hint = None;
            rules.sent(0);
            rules.ended(0, End { kind, hint, took }, Instant::now());
            quantile(&rules.latencies[0], 0.5)
        };
        assert_eq!(end(Kind::Limited), Some(2 * SECOND));
        assert_eq!(end(Kind::Success), Some(Duration::ZERO));
    }
}
