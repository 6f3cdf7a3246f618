//! Envoy: weighted round robin with retries at another host, a retry budget and outlier detection.
//!
//! Source: Envoy's documentation of `RetryPolicy`, `RetryBudget` and `OutlierDetection`. Requests
//! that wait for a retry count against the budget, as in Envoy.

mod outlier;

use std::collections::HashSet;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

pub(crate) use self::outlier::Outliers;
use crate::policy::client::Policy;
use crate::policy::pick::Turns;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Kind, Progress, Rules};
use crate::policy::setup::Setup;

/// `retry_back_off.base_interval`, Envoy's default.
const BASE_INTERVAL: Duration = Duration::from_millis(25);
/// `retry_back_off.max_interval`, ten times the base by default.
const MAX_INTERVAL: Duration = Duration::from_millis(250);
/// `host_selection_retry_max_attempts`. Envoy's default is 1. Its FAQ on transient failures and
/// Istio have 5.
const MORE_PICKS: u32 = 5;
/// The percentage of active requests, and the minimum number of retries.
const RETRY_BUDGET: (usize, usize) = (20, 3);
/// `healthy_panic_threshold`, in percent: below this share of healthy hosts, all hosts are used.
const PANIC_PERCENT: usize = 50;
/// `max_ejection_percent`. Envoy's default is 10, which ejects no host of fewer than ten.
const MAX_EJECTION_PERCENT: usize = 50;

/// The state of one Envoy with one cluster.
struct Envoy {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The number of hosts.
    hosts: usize,
    /// The weighted round robin over the hosts.
    turns: Turns,
    /// The ejected hosts.
    outliers: Outliers,
    /// The attempts in flight.
    active: usize,
    /// The requests with a retry that is waiting or in flight.
    retrying: HashSet<u64>,
    /// The source of the jitter.
    rng: Rng,
}

/// Returns the policy `envoy`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "envoy",
        about: "Envoy: ROUND_ROBIN by weight; retries on 429, 5xx, resets and timeouts with \
                `previous_hosts` (5 more picks), 0-24, 0-74 .. 250 ms, a budget of 20 %; \
                outlier detection with `max_ejection_percent` 50, since 10 % of few hosts \
                ejects none",
        rules: |setup: &Setup| Envoy::new(setup.attempts(), setup.weights(), setup.seed()),
    })
}

impl Envoy {
    /// Creates the state of a client at the current instant.
    fn new(attempts: u32, weights: &[f64], seed: u64) -> Self {
        Self {
            attempts,
            hosts: weights.len(),
            turns: Turns::new(weights),
            outliers: Outliers::new(weights.len(), MAX_EJECTION_PERCENT, Instant::now()),
            active: 0,
            retrying: HashSet::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Returns the hosts that are not ejected, or all hosts in a panic.
    fn hosts_to_use(&mut self, now: Instant) -> Vec<usize> {
        self.outliers.tick(now);
        let healthy: Vec<_> = (0..self.hosts)
            .filter(|host| !self.outliers.is_ejected(*host))
            .collect();
        if 100 * healthy.len() < PANIC_PERCENT * self.hosts {
            (0..self.hosts).collect()
        } else {
            healthy
        }
    }

    /// Returns whether the budget admits another retry.
    fn may_retry(&self) -> bool {
        let (percent, least) = RETRY_BUDGET;
        self.retrying.len() < (percent * self.active / 100).max(least)
    }
}

impl Rules for Envoy {
    fn choose(&mut self, request: &Progress, now: Instant) -> Option<usize> {
        let hosts = self.hosts_to_use(now);
        let mut host = self.turns.next_of(&hosts)?;
        for _ in 0..MORE_PICKS {
            if !request.tried.contains(&host) {
                break;
            }
            host = self.turns.next_of(&hosts)?;
        }
        Some(host)
    }

    fn sent(&mut self, _: usize) {
        self.active += 1;
    }

    fn ended(&mut self, host: usize, end: End, now: Instant) {
        self.active -= 1;
        match end.kind {
            Kind::Abandoned => {}
            Kind::Broken | Kind::Failed | Kind::TimedOut => self.outliers.failed(host, now),
            Kind::Limited | Kind::Rejected | Kind::Success => self.outliers.answered(host),
        }
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        self.retrying.remove(&request.id);
        if request.attempts() >= self.attempts || !self.may_retry() {
            return None;
        }
        self.retrying.insert(request.id);
        // `rate_limited_retry_back_off` would wait for the host that has refused, and there are
        // others.
        Some(max_backoff(request.attempts()).mul_f64(self.rng.f64()))
    }

    fn over(&mut self, request: &Progress) {
        self.retrying.remove(&request.id);
    }
}

/// Returns the upper bound of the backoff before retry `retry`, counted from 1.
fn max_backoff(retry: u32) -> Duration {
    let factor = 2u32.saturating_pow(retry) - 1;
    BASE_INTERVAL.saturating_mul(factor).min(MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn end(kind: Kind) -> End {
        End {
            kind,
            hint: None,
            took: Duration::ZERO,
        }
    }

    fn request(id: u64, tried: &[usize]) -> Progress {
        Progress {
            id,
            tried: tried.to_vec(),
            ..Progress::default()
        }
    }

    /// Envoy's docs of the router filter: "the first retry will be delayed randomly by 0-24ms, the
    /// 2nd by 0-74ms, the 3rd by 0-174ms", and the most is 250 ms.
    #[test]
    fn backoff_matches_docs_of_envoy() {
        for (retry, millis) in [(1, 25), (2, 75), (3, 175), (4, 250), (40, 250)] {
            assert_eq!(max_backoff(retry), millis * MILLI, "retry {retry}");
        }
        let mut rules = Envoy::new(3, &[1.0], 1);
        let waits = (0..1_000).map(|_| {
            let again = rules.again(&request(0, &[0]), end(Kind::Failed), Instant::now());
            again.expect("a retry")
        });
        let longest = waits.max().expect("a thousand");
        assert!(longest < 25 * MILLI && longest > 24 * MILLI, "{longest:?}");
    }

    #[test]
    fn retry_moves_if_second_pick_finds_another_host() {
        let now = Instant::now();
        let mut rules = Envoy::new(3, &[0.25; 4], 1);
        for first in 0..4 {
            assert_eq!(rules.choose(&request(0, &[]), now), Some(first));
        }
        assert_eq!(rules.choose(&request(0, &[0, 1]), now), Some(2));
        // One of them has nearly all the weight, and five picks are not enough.
        let mut rules = Envoy::new(3, &[0.9, 0.1], 1);
        assert_eq!(rules.choose(&request(0, &[0]), now), Some(1));
        assert_eq!(rules.choose(&request(0, &[0]), now), Some(0));
    }

    /// Envoy's retry budget: 20 % of the active requests, and 3 if that is less.
    #[test]
    fn budget_limits_concurrent_retries() {
        let now = Instant::now();
        let mut rules = Envoy::new(3, &[1.0], 1);
        let again = |rules: &mut Envoy, id| {
            let request = request(id, &[0]);
            rules.again(&request, end(Kind::Failed), now).is_some()
        };
        let grants: Vec<_> = (0..5).map(|id| again(&mut rules, id)).collect();
        assert_eq!(grants, [true, true, true, false, false]);
        // The next retry of a request takes the place of the one before.
        assert!(again(&mut rules, 0));
        // A request that is dropped during its wait returns its slot.
        rules.over(&request(0, &[0]));
        assert!(again(&mut rules, 5));
        assert!(!again(&mut rules, 6));
        for _ in 0..20 {
            rules.sent(0);
        }
        assert!(again(&mut rules, 7));
        assert!(!again(&mut rules, 8));
    }

    /// Panic: more than half of the hosts are ejected, so their health is not to be trusted.
    #[test]
    fn panic_threshold_uses_all_hosts() {
        let now = Instant::now();
        let mut rules = Envoy::new(3, &[0.25; 4], 1);
        for host in [0, 1] {
            for _ in 0..5 {
                rules.sent(host);
                rules.ended(host, end(Kind::Failed), now);
            }
        }
        assert_eq!(rules.hosts_to_use(now), [2, 3]);
        rules.outliers.eject(2, now);
        assert_eq!(rules.hosts_to_use(now), [0, 1, 2, 3]);
    }
}
