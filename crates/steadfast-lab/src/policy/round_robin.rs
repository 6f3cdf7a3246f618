//! Round robin: in turn, and to the next one after a failure.
//!
//! The default of many load balancers. It knows neither limits nor latency.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Progress, Rules};
use crate::policy::setup::Setup;

/// The state of one client.
struct RoundRobin {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The number of endpoints.
    endpoints: usize,
    /// The endpoint of the next attempt.
    next: usize,
}

/// Returns the policy `round-robin`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "round-robin",
        about: "each request to the next endpoint, and on to the one after it at once if it is \
                refused or fails",
        rules: |setup: &Setup| RoundRobin {
            attempts: setup.attempts(),
            endpoints: setup.endpoints().len(),
            next: 0,
        },
    })
}

impl Rules for RoundRobin {
    fn choose(&mut self, _: &Progress, _: Instant) -> Option<usize> {
        let chosen = self.next;
        self.next = (self.next + 1) % self.endpoints;
        Some(chosen)
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        (request.attempts() < self.attempts).then_some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::Kind;

    #[test]
    fn attempts_rotate_over_endpoints() {
        let mut rules = RoundRobin {
            attempts: 3,
            endpoints: 3,
            next: 0,
        };
        let end = End {
            kind: Kind::Limited,
            hint: None,
            took: Duration::ZERO,
        };
        let now = Instant::now();
        let mut request = Progress::default();
        for (chosen, again) in [(0, true), (1, true), (2, false)] {
            assert_eq!(rules.choose(&request, now), Some(chosen));
            request.tried.push(chosen);
            let wait = rules.again(&request, end, now);
            assert_eq!(wait, again.then_some(Duration::ZERO));
        }
        assert_eq!(rules.choose(&Progress::default(), now), Some(0));
    }
}
