//! LiteLLM's router: a weighted draw among the deployments that do not cool down.
//!
//! Source: LiteLLM's `router.py` and `cooldown_handlers.py`. Its cooldowns are entries of a cache
//! with a fixed time.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::policy::client::Policy;
use crate::policy::pick::weighted;
use crate::policy::rival::Rival;
use crate::policy::rules::{End, Kind, Progress, Rules};
use crate::policy::sdk_retry::backoff;
use crate::policy::setup::Setup;

/// `DEFAULT_COOLDOWN_TIME_SECONDS`.
const COOLDOWN: Duration = Duration::from_secs(5);
/// The share of failures in a minute that starts a cooldown, and the minimum number of attempts in
/// that minute.
const FAILURES: (f64, u32) = (0.5, 5);
/// The number of failures without a success that starts a cooldown even of the only deployment.
const OUTAGE: u32 = 1_000;
/// The window of the counters.
const MINUTE: Duration = Duration::from_secs(60);
/// The longest hint that is waited for.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// The state of one router.
struct LiteLlm {
    /// The maximum number of attempts of a request.
    attempts: u32,
    /// The shares of the deployments in the draw.
    weights: Vec<f64>,
    /// The deployments, by index.
    deployments: Vec<Deployment>,
    /// The source of the draws and of the jitter.
    rng: Rng,
}

/// The state of one deployment (an endpoint).
#[derive(Clone, Default)]
struct Deployment {
    /// The end of its last cooldown.
    cools_until: Option<Instant>,
    /// The successes of this minute.
    successes: Counter,
    /// The failures of this minute.
    failures: Counter,
}

/// A counter that starts anew a minute after its first count.
#[derive(Clone, Default)]
struct Counter {
    /// The instant of the first count.
    since: Option<Instant>,
    /// The count since then.
    count: u32,
}

/// Returns the policy `litellm`.
pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "litellm",
        about: "LiteLLM's router: `simple-shuffle` by rpm; a 429 starts a cooldown of `Retry- \
                After` or 5 s, as do failures of more than half of the attempts in a minute; \
                retries go at once to another deployment; without one, the request fails after its \
                first attempt, and later waits and tries again",
        rules: |setup: &Setup| LiteLlm {
            attempts: setup.attempts(),
            weights: setup.weights().to_vec(),
            deployments: vec![Deployment::default(); setup.endpoints().len()],
            rng: Rng::with_seed(setup.seed()),
        },
    })
}

impl LiteLlm {
    /// Returns the deployments without a cooldown.
    fn healthy(&self, now: Instant) -> Vec<usize> {
        let cools = |n: usize| self.deployments[n].cools_until.is_some_and(|end| end > now);
        let all = 0..self.deployments.len();
        all.filter(|&n| !cools(n)).collect()
    }

    /// Returns whether the router has one deployment.
    fn is_alone(&self) -> bool {
        self.deployments.len() == 1
    }

    /// Returns the sleep if no other deployment is available. The hint of the first failure
    /// decides, whatever later failures contain.
    fn sleep(&mut self, request: &Progress) -> Duration {
        let hint = request.first.and_then(End::hint_in_seconds);
        let hint = hint.filter(|hint| !hint.is_zero() && *hint <= MAX_SLEEP);
        let retries = request.attempts() + request.in_vain - 1;
        // The first two sleeps are equally long: the one before the loop is not counted in it.
        hint.unwrap_or_else(|| backoff(retries.saturating_sub(1), &mut self.rng))
    }

    /// Returns whether the request has a retry left. A choice without a deployment counts as one.
    fn has_retries(&self, request: &Progress) -> bool {
        request.attempts().saturating_add(request.in_vain) < self.attempts
    }
}

impl Rules for LiteLlm {
    fn choose(&mut self, _: &Progress, now: Instant) -> Option<usize> {
        weighted(&self.healthy(now), &self.weights, &mut self.rng)
    }

    /// "No deployments available for selected model" is a failure like another for a retry, and the
    /// end of a request that has just begun.
    fn none_available(&mut self, request: &Progress) -> Option<Duration> {
        let goes_on = !request.tried.is_empty() && self.has_retries(request);
        goes_on.then(|| self.sleep(request))
    }

    fn ended(&mut self, endpoint: usize, end: End, now: Instant) {
        let is_alone = self.is_alone();
        let deployment = &mut self.deployments[endpoint];
        match end.kind {
            Kind::Success => deployment.successes.add(now),
            Kind::Abandoned | Kind::Rejected => {}
            kind => {
                deployment.failures.add(now);
                if deployment.should_cool(kind, is_alone, now) {
                    deployment.cool(end.hint_in_seconds(), now);
                }
            }
        }
    }

    fn again(&mut self, request: &Progress, _: End, now: Instant) -> Option<Duration> {
        if !self.has_retries(request) {
            return None;
        }
        match self.healthy(now).len() {
            // Only after the first failure does the number of healthy endpoints matter.
            0 if request.attempts() == 1 => None,
            1.. if !self.is_alone() => Some(Duration::ZERO),
            _ => Some(self.sleep(request)),
        }
    }
}

impl Deployment {
    /// Returns whether a failure starts a cooldown.
    fn should_cool(&self, kind: Kind, is_alone: bool, now: Instant) -> bool {
        let failures = self.failures.of_this_minute(now);
        let all = failures + self.successes.of_this_minute(now);
        let share = f64::from(failures) / f64::from(all.max(1));
        let is_failing = share > FAILURES.0 && all >= FAILURES.1;
        let is_out = failures == all && all >= OUTAGE;
        is_out || (!is_alone && (kind == Kind::Limited || is_failing))
    }

    /// Starts a cooldown. A running cooldown is not extended, because the entry of the cache keeps
    /// its time.
    fn cool(&mut self, hint: Option<Duration>, now: Instant) {
        let time = hint.unwrap_or(COOLDOWN);
        if self.cools_until.is_none_or(|until| until <= now) {
            self.cools_until = Some(now + time);
        }
    }
}

impl Counter {
    /// Counts one.
    fn add(&mut self, now: Instant) {
        if self.of_this_minute(now) == 0 {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
    }

    /// Returns the count of the current minute.
    fn of_this_minute(&self, now: Instant) -> u32 {
        let since = self.since.filter(|since| now < *since + MINUTE);
        since.map_or(0, |_| self.count)
    }
}

#[cfg(test)]
mod tests;
