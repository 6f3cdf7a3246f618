//! One attempt: the baseline without any policy.
//!
//! Each request fails if its only attempt fails. The difference to another row is the effect of
//! that policy.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::pick::Turns;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Progress, Rules};
use crate::policy::setup::Setup;

/// The weighted round robin over the endpoints.
struct NoRetry(Turns);

/// Returns the policy `no-retry`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "no-retry",
        about: "one attempt, at the next endpoint by weight: the baseline",
        rules: |setup: &Setup| NoRetry(Turns::new(setup.weights())),
    })
}

impl Rules for NoRetry {
    fn choose(&mut self, _: &Progress, _: Instant) -> Option<usize> {
        self.0.next_of_all()
    }

    fn again(&mut self, _: &Progress, _: End, _: Instant) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Arrivals, Endpoint, Scenario};
    use steadfast_testkit::Quota;

    const SECOND: Duration = Duration::from_secs(1);

    /// Split by weight and evenly, 40 requests a second fit into the quotas that allow 40, and of
    /// 44 a second ten of eleven fit.
    #[test]
    fn no_retry_serves_as_much_as_quotas_allow() {
        let endpoint = |name, n| Endpoint::new(name).requests(Quota::new(n, SECOND));
        let scenario = [("a", 20), ("b", 10), ("c", 5), ("d", 5)]
            .map(|(name, n)| endpoint(name, n))
            .into_iter()
            .fold(Scenario::new("quota"), Scenario::endpoint);
        let run = |rate| {
            let scenario = scenario.clone().arrivals(Arrivals::Constant(rate));
            scenario.run(&*policy(), 1)
        };
        let report = run(40.0);
        assert_eq!((report.success, report.attempts_per_request), (1.0, 1.0));
        assert_eq!(report.shares, [0.5, 0.25, 0.125, 0.125]);
        let report = run(44.0);
        // A burst of a second goes on top, once in four minutes.
        let expected = 10.0 / 11.0;
        assert!(
            (report.success - expected).abs() < 1.0 / 240.0,
            "{report:?}"
        );
    }
}
