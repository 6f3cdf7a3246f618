//! linkerd's load biaser: the power of two choices over latencies, and a refusal is a long one.
//!
//! Source: linkerd2-proxy, `linkerd/proxy/balance` and `penalize-failures`. Tower's `PeakEwma` has
//! the same average, without the penalty.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Kind, Progress, Rules};
use crate::policy::setup::Setup;

/// The time constant of the average, linkerd's default.
const DECAY: Duration = Duration::from_secs(10);
/// The latency of an endpoint without a request, linkerd's default.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
/// The latency that a failure counts as.
const PENALTY: Duration = Duration::from_secs(5);
/// The longest hint that counts as a latency.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The minimum and the maximum pause between attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// The state of one proxy.
struct Linkerd {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The endpoints, by index.
    endpoints: Vec<Endpoint>,
    /// Draws the two candidates.
    rng: Rng,
}

/// The load of one endpoint.
struct Endpoint {
    /// The latency, with penalties.
    rtt: PeakEwma,
    /// The requests in flight.
    pending: u32,
    /// The end of the pause without a connection, and its length.
    reconnects: Option<(Instant, Duration)>,
}

/// An average that follows a peak at once and decays slowly.
struct PeakEwma {
    /// The value at `at`, in seconds.
    seconds: f64,
    /// The instant of the last sample.
    at: Instant,
}

/// Returns the policy `linkerd-biaser`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "linkerd-biaser",
        about: "linkerd2-proxy with `penalize-failures`: P2C by peak EWMA times pending, where \
                a 429 or 5xx counts as 5 s or as a longer `Retry-After`; retries at once, \
                through the balancer",
        rules: |setup: &Setup| {
            Linkerd::new(setup.attempts(), setup.endpoints().len(), setup.seed())
        },
    })
}

impl Linkerd {
    /// Creates the state of a client without samples.
    fn new(attempts: u32, endpoints: usize, seed: u64) -> Self {
        let endpoint = |_| Endpoint {
            rtt: PeakEwma {
                seconds: DEFAULT_RTT.as_secs_f64(),
                at: Instant::now(),
            },
            pending: 0,
            reconnects: None,
        };
        Self {
            attempts,
            endpoints: (0..endpoints).map(endpoint).collect(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Returns the endpoints with a connection, or all endpoints if none has one.
    ///
    /// In linkerd a task connects without a request. Here the first request after the pause takes
    /// that part.
    fn ready(&self, now: Instant) -> Vec<usize> {
        let is_ready = |n: &usize| {
            let reconnects = self.endpoints[*n].reconnects;
            reconnects.is_none_or(|(until, _)| until <= now)
        };
        let ready: Vec<_> = (0..self.endpoints.len()).filter(is_ready).collect();
        if ready.is_empty() {
            (0..self.endpoints.len()).collect()
        } else {
            ready
        }
    }
}

impl Rules for Linkerd {
    fn choose(&mut self, _: &Progress, now: Instant) -> Option<usize> {
        let two = self.rng.choose_multiple(self.ready(now), 2);
        let load = |n: usize| self.endpoints[n].load(now);
        two.into_iter()
            .reduce(|a, b| if load(a) <= load(b) { a } else { b })
    }

    fn sent(&mut self, endpoint: usize) {
        self.endpoints[endpoint].pending += 1;
    }

    fn ended(&mut self, endpoint: usize, end: End, now: Instant) {
        let endpoint = &mut self.endpoints[endpoint];
        endpoint.pending -= 1;
        endpoint.rtt.add_peak(effective_rtt(end), now);
        endpoint.reconnects = match (end.kind, endpoint.reconnects) {
            (Kind::Broken, before) => {
                let next = before.map_or(RECONNECT.0, |(_, pause)| (2 * pause).min(RECONNECT.1));
                Some((now + next, next))
            }
            (Kind::Abandoned, before) => before,
            _ => None,
        };
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        (request.attempts() < self.attempts).then_some(Duration::ZERO)
    }
}

impl Endpoint {
    /// Returns the expected cost of one more request: latency times requests in flight.
    fn load(&self, now: Instant) -> f64 {
        self.rtt.at(now) * f64::from(self.pending + 1)
    }
}

/// Returns the latency that an attempt counts as. A failure counts as the penalty, or as its hint.
fn effective_rtt(end: End) -> Duration {
    match end.kind {
        // A hint below the penalty would make a failure look better than one without hint.
        Kind::Failed | Kind::Limited => {
            let hint = end.hint_in_seconds().unwrap_or_default();
            hint.min(MAX_RETRY_AFTER).max(PENALTY)
        }
        _ => end.took,
    }
}

impl PeakEwma {
    /// Returns the value at an instant.
    fn at(&self, now: Instant) -> f64 {
        self.seconds * self.left(now)
    }

    /// Adds a sample. A sample above the value replaces it.
    fn add_peak(&mut self, sample: Duration, now: Instant) {
        let (sample, left) = (sample.as_secs_f64(), self.left(now));
        let average = self.seconds * left + sample * (1.0 - left);
        self.seconds = if self.at(now) < sample {
            sample
        } else {
            average
        };
        self.at = now;
    }

    /// Returns the share of the last value that has not decayed.
    fn left(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at);
        (-elapsed.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    fn end(kind: Kind, hint: Option<Duration>) -> End {
        End {
            kind,
            hint,
            took: 10 * MILLI,
        }
    }

    /// linkerd's "Handling Rate-Limited Endpoints": with a penalty of 5 s, a 429 in 10 ms counts as
    /// 5 s, and `Retry-After` counts instead if it is higher, up to 300 s.
    #[test]
    fn refusal_counts_as_long_latency() {
        for (kind, hint, seconds) in [
            (Kind::Limited, None, 5.0),
            (Kind::Failed, None, 5.0),
            (Kind::Limited, Some(SECOND), 5.0),
            (Kind::Limited, Some(5_001 * MILLI), 6.0),
            (Kind::Limited, Some(3_600 * SECOND), 300.0),
            (Kind::Success, None, 0.01),
            (Kind::Abandoned, None, 0.01),
        ] {
            let rtt = effective_rtt(end(kind, hint)).as_secs_f64();
            assert_eq!(rtt, seconds, "{kind:?} {hint:?}");
        }
    }

    /// linkerd-ewma's own tests: a peak counts at once, decays to 1/e in 10 s, and of a lower value
    /// 0.1 s later only a hundredth counts.
    #[test]
    fn peak_latency_counts_at_once_and_decays() {
        let start = Instant::now();
        let mut rtt = PeakEwma {
            seconds: 0.03,
            at: start,
        };
        rtt.add_peak(10 * SECOND, start + SECOND);
        assert_eq!(rtt.at(start + SECOND), 10.0);
        let later = rtt.at(start + 11 * SECOND);
        assert!((later - 10.0 * (-1f64).exp()).abs() < 1e-9, "{later}");
        rtt.add_peak(SECOND, start + 1_100 * MILLI);
        assert!((9.0..10.0).contains(&rtt.seconds), "{}", rtt.seconds);
        rtt.add_peak(SECOND, start + 26 * SECOND);
        assert_eq!(rtt.at(start + 26 * SECOND), 1.0);
    }

    #[test]
    fn less_loaded_of_two_endpoints_is_selected() {
        let now = Instant::now();
        let mut rules = Linkerd::new(3, 2, 1);
        rules.sent(0);
        assert_eq!(rules.choose(&Progress::default(), now), Some(1));
        rules.ended(0, end(Kind::Success, None), now);
        rules.sent(1);
        rules.ended(1, end(Kind::Limited, None), now);
        for seconds in 0..40 {
            let later = now + seconds * SECOND;
            assert_eq!(rules.choose(&Progress::default(), later), Some(0));
        }
    }

    #[test]
    fn endpoint_after_failed_connect_is_skipped() {
        let now = Instant::now();
        let mut rules = Linkerd::new(3, 2, 1);
        let break_connection = |rules: &mut Linkerd, n, now| {
            rules.sent(n);
            rules.ended(n, end(Kind::Broken, None), now);
        };
        break_connection(&mut rules, 0, now);
        assert_eq!(rules.ready(now + 99 * MILLI), [1]);
        assert_eq!(rules.ready(now + 100 * MILLI), [0, 1]);
        break_connection(&mut rules, 0, now + 100 * MILLI);
        assert_eq!(rules.ready(now + 299 * MILLI), [1]);
        break_connection(&mut rules, 1, now + 299 * MILLI);
        assert_eq!(
            rules.ready(now + 299 * MILLI),
            [0, 1],
            "somebody has to be asked"
        );
    }
}
