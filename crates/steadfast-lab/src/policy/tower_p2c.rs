//! What tower brings itself: `Retry` over `Balance` over `PeakEwma`, tower's own code.
//!
//! `Balance` needs a readiness of its own, hence the `Buffer` above it. All numbers are the
//! defaults or the examples of tower's docs.

use std::time::Duration;

use http::Request;
use tower::ServiceExt;
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};
use tower::retry::Retry;
use tower::util::BoxCloneSyncService;

use crate::policy::client::{Client, Policy};
use crate::policy::setup::Setup;
use crate::policy::tower_retry::{OnFailure, seeded};
use crate::world::{Body, World};

/// The decay of `PeakEwma`, as in linkerd.
const DECAY: Duration = Duration::from_secs(10);
/// The initial latency of `PeakEwma`, from tower's docs. It is close to the latency of a model.
const DEFAULT_RTT: Duration = Duration::from_secs(1);
/// The capacity of `Buffer`: more than the requests that are ever queued, as its docs advise.
const BUFFER: usize = 1_024;

/// The policy of tower's own code.
struct Tower;

/// Returns the policy `tower-p2c-peak-ewma`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Tower)
}

impl Policy for Tower {
    fn name(&self) -> &'static str {
        "tower-p2c-peak-ewma"
    }

    fn about(&self) -> &'static str {
        "tower's own Retry (on 429, 5xx and errors, with TpsBudget and ExponentialBackoff as they \
         are by default) over Buffer, Balance and PeakEwma (10 s, 1 s)"
    }

    fn client(&self, setup: &Setup) -> Client {
        let endpoints: Vec<_> = setup
            .endpoints()
            .iter()
            .map(|endpoint| {
                let uri = World::uri(endpoint);
                let send = setup.http().map_request(move |mut request: Request<Body>| {
                    *request.uri_mut() = uri.clone();
                    request
                });
                let decay = DECAY.as_nanos() as f64;
                PeakEwma::new(send, DEFAULT_RTT, decay, CompleteOnResponse::default())
            })
            .collect();
        let endpoints = ServiceList::new::<Request<Body>>(endpoints);
        let balance = Balance::from_rng(endpoints, seeded(setup.seed()));
        let retries = setup.attempts().saturating_sub(1);
        let policy = OnFailure::new(retries, setup.seed().wrapping_add(1));
        let retry = Retry::new(policy, Buffer::new(balance, BUFFER));
        BoxCloneSyncService::new(retry.map_response(|response| response.map(drop)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Arrivals, Endpoint, Latency, Scenario, Trouble};

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    /// facts/rust-peers.md, B14: an endpoint that fails in 1 ms among three that answer in 20 ms
    /// takes 49 % of the traffic, and 25 % would be fair. It is one of the two choices half of the
    /// time, and wins then.
    #[test]
    fn fast_failing_endpoint_gets_twice_its_share() {
        let answers = |name| Endpoint::new(name).latency(Latency::Constant(20 * MILLI));
        let scenario = Scenario::new("sinkhole")
            .endpoint(answers("a"))
            .endpoint(answers("b"))
            .endpoint(answers("c"))
            .endpoint(Endpoint::new("d").failures(1.0).refusal(MILLI))
            .arrivals(Arrivals::Constant(20.0))
            .lasting(600 * SECOND)
            .attempts(1);
        let report = scenario.run(&Tower, 1);
        // Four standard deviations of a half of this number, and a point below it, as published.
        let tolerance = 4.0 * (0.25 / report.requests as f64).sqrt();
        let shares = 0.49 - tolerance..0.5 + tolerance;
        assert!(shares.contains(&report.shares[3]), "{:?}", report.shares);
    }

    /// facts/proxies.md, a.1: the budget allows 20 % of what succeeded in the last 10 s, and ten a
    /// second. The whole of it may go at once.
    #[test]
    fn budget_limits_retries() {
        let endpoint = Endpoint::new("a")
            .latency(Latency::Constant(20 * MILLI))
            .trouble(30..60, Trouble::Fails(1.0, 500));
        let scenario = Scenario::new("outage")
            .endpoint(endpoint)
            .arrivals(Arrivals::Constant(100.0))
            .lasting(60 * SECOND);
        let report = scenario.run(&Tower, 1);
        let retries = (report.attempts_per_request - 1.0) * report.requests as f64;
        let of_successes = 0.2 * 10.0 * 100.0;
        let of_time = 10.0 * 30.0;
        // The ten seconds before count as well.
        let allowed = of_successes..=of_successes + of_time + 100.0;
        assert!(allowed.contains(&retries), "{retries}");
    }
}
