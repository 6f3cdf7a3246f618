//! The endpoint with the fewest requests in flight.
//!
//! Common in load balancers: `least_conn` of nginx, `leastconn` of `HAProxy`. An endpoint that
//! fails fast has few requests in flight, and attracts traffic.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::pick::{least, untried};
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Progress, Rules};
use crate::policy::setup::Setup;

/// The state of one client.
struct LeastOutstanding {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The requests in flight at each endpoint.
    in_flight: Vec<u32>,
    /// Decides among equals.
    rng: Rng,
}

/// Returns the policy `least-outstanding`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "least-outstanding",
        about: "fewest requests in flight, at random among equals, and at once to the next such \
                endpoint that was not asked yet",
        rules: |setup: &Setup| LeastOutstanding {
            attempts: setup.attempts(),
            in_flight: vec![0; setup.endpoints().len()],
            rng: Rng::with_seed(setup.seed()),
        },
    })
}

impl Rules for LeastOutstanding {
    fn choose(&mut self, request: &Progress, _: Instant) -> Option<usize> {
        let candidates = untried(request, self.in_flight.len());
        least(&candidates, |n| self.in_flight[n], &mut self.rng)
    }

    fn sent(&mut self, endpoint: usize) {
        self.in_flight[endpoint] += 1;
    }

    fn ended(&mut self, endpoint: usize, _: End, _: Instant) {
        self.in_flight[endpoint] -= 1;
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        (request.attempts() < self.attempts).then_some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::round_robin;
    use crate::world::{Endpoint, Latency, Scenario};
    use steadfast_testkit::Quota;

    const SECOND: Duration = Duration::from_secs(1);

    /// facts/proxies.md, c.12: with equal calls of 8 s and a load of 0.95, least outstanding serves
    /// 79.7 % and round robin 96.0 %. Ours, which goes on with the turn of others, serves less than
    /// that one, and far more than 79.7 %.
    #[test]
    fn fast_refusals_look_idle() {
        let endpoint = |(name, n)| {
            Endpoint::new(name)
                .requests(Quota::new(n, SECOND))
                .latency(Latency::Constant(8 * SECOND))
        };
        let scenario = [("a", 20), ("b", 10), ("c", 5), ("d", 5)]
            .map(endpoint)
            .into_iter()
            .fold(Scenario::new("equal calls"), Scenario::endpoint)
            .deadline(60 * SECOND)
            .load(0.95);
        let served = [1, 2, 3].map(|seed| scenario.run(&*policy(), seed).success);
        let mean = served.iter().sum::<f64>() / 3.0;
        let variance = served.map(|n| (n - mean).powi(2)).iter().sum::<f64>() / 2.0;
        // Four standard errors, by what the runs themselves differ.
        let tolerance = 4.0 * (variance / 3.0).sqrt();
        assert!((mean - 0.797).abs() < tolerance, "{mean} +- {tolerance}");
        assert!(tolerance < 0.02, "{tolerance}");

        let in_turn = scenario.run(&*round_robin::policy(), 1).success;
        assert!(in_turn > mean + 0.1, "{in_turn}");
    }

    #[test]
    fn idle_and_untried_endpoints_are_selected() {
        let mut rules = LeastOutstanding {
            attempts: 3,
            in_flight: vec![2, 0, 1],
            rng: Rng::with_seed(1),
        };
        let mut request = Progress::default();
        for expected in [1, 2, 0, 1] {
            let chosen = rules.choose(&request, Instant::now());
            assert_eq!(chosen, Some(expected));
            request.tried.push(expected);
        }
    }
}
