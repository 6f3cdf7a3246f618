//! The retry that the SDKs of OpenAI and Anthropic have built in.
//!
//! Source: `openai-python` and `anthropic-sdk-python`, `_base_client.py`. An SDK has one base URL,
//! so its user has to divide the traffic.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::pick::Turns;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Progress, Rules};
use crate::policy::setup::Setup;

/// `INITIAL_RETRY_DELAY`, in seconds.
const FIRST_DELAY: f64 = 0.5;
/// `MAX_RETRY_DELAY`, in seconds.
const MAX_DELAY: f64 = 8.0;
/// The largest share by which jitter shortens a delay.
const JITTER: f64 = 0.25;
/// `MAX_RETRY_AFTER_DELAY` of openai-python 3: a longer hint ends the retries. In earlier versions
/// the limit was 60 s, and a longer hint was ignored.
const MAX_HINT: Duration = Duration::from_secs(120);

/// The state of one client.
struct SdkRetry {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The division of the traffic by weight.
    endpoints: Turns,
    /// The source of the jitter.
    rng: Rng,
}

/// Returns the policy `sdk-retry`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "sdk-retry",
        about: "the OpenAI SDK: again at the same endpoint after 0.5 s doubling to 8 s, or \
                after `Retry-After` up to 2 min; its user splits the traffic by weight",
        rules: |setup: &Setup| SdkRetry {
            attempts: setup.attempts(),
            endpoints: Turns::new(setup.weights()),
            rng: Rng::with_seed(setup.seed()),
        },
    })
}

impl Rules for SdkRetry {
    fn choose(&mut self, request: &Progress, _: Instant) -> Option<usize> {
        let same = request.tried.last().copied();
        same.or_else(|| self.endpoints.next_of_all())
    }

    fn again(&mut self, request: &Progress, end: End, _: Instant) -> Option<Duration> {
        if request.attempts() >= self.attempts {
            return None;
        }
        match end.hint {
            Some(hint) if hint > MAX_HINT => None,
            Some(hint) if !hint.is_zero() => Some(hint),
            _ => Some(backoff(request.attempts() - 1, &mut self.rng)),
        }
    }
}

/// Returns the delay after this number of retries.
pub(crate) fn backoff(retries: u32, rng: &mut Rng) -> Duration {
    // The fourth doubling reaches the most.
    let delay = (FIRST_DELAY * 2f64.powi(retries.min(9) as i32)).min(MAX_DELAY);
    Duration::from_secs_f64(delay * (1.0 - JITTER * rng.f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::Kind;

    fn waits(attempts: u32, hint: Option<f64>) -> Option<f64> {
        let mut rules = SdkRetry {
            attempts: u32::MAX,
            endpoints: Turns::new(&[1.0]),
            rng: Rng::with_seed(attempts.into()),
        };
        let request = Progress {
            tried: vec![0; attempts as usize],
            ..Progress::default()
        };
        let end = End {
            kind: Kind::Limited,
            hint: hint.map(Duration::from_secs_f64),
            took: Duration::ZERO,
        };
        let wait = rules.again(&request, end, Instant::now())?;
        Some(wait.as_secs_f64())
    }

    /// openai-python, `tests/test_client.py`, `test_parse_retry_after_header`: hints of 20 and 60 s
    /// are waited for, one of 0 is none, and without hint it is 0.5, 1, 2 and in the end 8 s.
    /// Its tolerance is more than the jitter of a quarter, downwards.
    #[test]
    fn waits_match_test_of_sdk() {
        assert_eq!(waits(1, Some(20.0)), Some(20.0));
        assert_eq!(waits(1, Some(60.0)), Some(60.0));
        for (attempts, hint, expected) in [
            (1, Some(0.0), 0.5),
            (1, None, 0.5),
            (2, None, 1.0),
            (3, None, 2.0),
            (1_104, None, 8.0),
        ] {
            let wait = waits(attempts, hint).expect("a wait");
            let range = 0.75 * expected..=expected;
            assert!(range.contains(&wait), "after {attempts}: {wait}");
        }
    }

    /// facts/providers.md, openai-python 3.54: a hint of more than 120 s means no retry.
    #[test]
    fn long_hint_ends_retries() {
        assert_eq!(waits(1, Some(120.0)), Some(120.0));
        assert_eq!(waits(1, Some(121.0)), None);
    }

    #[test]
    fn sdk_retry_stays_at_endpoint_and_keeps_attempt_limit() {
        let mut rules = SdkRetry {
            attempts: 3,
            endpoints: Turns::new(&[0.5, 0.5]),
            rng: Rng::with_seed(1),
        };
        let now = Instant::now();
        let end = End {
            kind: Kind::Failed,
            hint: None,
            took: Duration::ZERO,
        };
        for endpoint in [0, 1, 0] {
            let mut request = Progress::default();
            for attempt in 1..=3 {
                assert_eq!(rules.choose(&request, now), Some(endpoint));
                request.tried.push(endpoint);
                assert_eq!(rules.again(&request, end, now).is_some(), attempt < 3);
            }
        }
    }
}
