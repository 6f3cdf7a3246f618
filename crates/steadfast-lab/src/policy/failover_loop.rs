//! The loop that many write by hand: the endpoints in order, and a pause between them.
//!
//! Many applications have such a loop in their code. It remembers nothing between requests, so each
//! request starts at the first endpoint.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Progress, Rules};
use crate::policy::setup::Setup;

/// The first pause, which doubles.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The settings of the loop. It has no state.
struct FailoverLoop {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The number of endpoints.
    endpoints: usize,
}

/// Returns the policy `failover-loop`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "failover-loop",
        about: "a loop as written by hand: each request begins with the first endpoint and \
                continues with the next one after 1, 2, 4 s; it keeps no state between requests",
        rules: |setup: &Setup| FailoverLoop {
            attempts: setup.attempts(),
            endpoints: setup.endpoints().len(),
        },
    })
}

impl Rules for FailoverLoop {
    fn choose(&mut self, request: &Progress, _: Instant) -> Option<usize> {
        Some(request.tried.len() % self.endpoints)
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        let retries = request.attempts() - 1;
        let factor = 1u32.checked_shl(retries).unwrap_or(u32::MAX);
        (request.attempts() < self.attempts).then(|| RETRY_DELAY.saturating_mul(factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::Kind;
    use crate::world::{Arrivals, Endpoint, Latency, Scenario, Trouble};

    const SECOND: Duration = Duration::from_secs(1);

    /// The usual form: `sleep(retry_delay * 2 ** attempt)`, with a `retry_delay` of a second.
    #[test]
    fn failover_loop_doubles_each_sleep() {
        let mut rules = FailoverLoop {
            attempts: 40,
            endpoints: 3,
        };
        let end = End {
            kind: Kind::Limited,
            hint: Some(7 * SECOND),
            took: Duration::ZERO,
        };
        let mut request = Progress::default();
        for (endpoint, wait) in [(0, 1), (1, 2), (2, 4), (0, 8)] {
            let chosen = rules.choose(&request, Instant::now());
            assert_eq!(chosen, Some(endpoint));
            request.tried.push(endpoint);
            let again = rules.again(&request, end, Instant::now());
            assert_eq!(again, Some(wait * SECOND));
        }
        request.tried = vec![0; 39];
        assert!(rules.again(&request, end, Instant::now()) > Some(u32::MAX / 2 * SECOND));
        request.tried.push(0);
        assert_eq!(rules.again(&request, end, Instant::now()), None);
    }

    /// Requests share no memory: while the first endpoint fails, each request tries it first.
    #[test]
    fn failover_loop_shares_no_state_between_requests() {
        let endpoint = |name| Endpoint::new(name).latency(Latency::Constant(SECOND));
        let scenario = Scenario::new("outage")
            .endpoint(endpoint("a").trouble(0..300, Trouble::Fails(1.0, 503)))
            .endpoint(endpoint("b"))
            .arrivals(Arrivals::Constant(2.0));
        let report = scenario.run(&*policy(), 1);
        assert_eq!((report.success, report.shares), (1.0, vec![0.5, 0.5]));
        // The refusal, the pause, and the answer.
        assert_eq!(report.p50_s, Some(2.03));
    }
}
