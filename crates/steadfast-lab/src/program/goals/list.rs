//! The goals.
//!
//! The bounds come from issue texts and from `DESIGN.md`, section 7. A goal names its target as the
//! page prints it, and a test checks that the text and the bound agree.
//!
//! | Group | Question |
//! |---|---|
//! | quota | Are the quotas used, close to them and above? |
//! | hints | Is the result as good without hints, and with slow answers? |
//! | losses | Are requests lost if an endpoint is down, or if clients compete? |
//! | latency | Is the latency as low as tower's, and does each endpoint get its share? |
//! | trouble | Does an endpoint that fails fast attract traffic? Does hedging shorten the tail? |
//! | refusals | How many attempts does an endpoint get that always refuses? |
//! | evidence | Does a refusal without a used-up quota slow the client down? |

mod evidence;

use std::ops::Range;

pub(in crate::program) use self::evidence::ALONE;
use super::measure::{Measure, Results, time};
use super::studies::{OVER, REFUSING};
use crate::catalog::STEPS;
use crate::program::numbers::percent;
use crate::report::Report;

/// A target for our policies.
pub(crate) struct Goal {
    /// The name in the first column.
    pub(super) name: &'static str,
    /// The target as the page prints it.
    pub(super) target: &'static str,
    /// Computes the result of a policy.
    measure: Box<dyn Fn(&Results<'_>, &str) -> Measure>,
}

impl Goal {
    /// Creates a goal.
    pub(crate) fn new(
        name: &'static str,
        target: &'static str,
        measure: impl Fn(&Results<'_>, &str) -> Measure + 'static,
    ) -> Self {
        Self {
            name,
            target,
            measure: Box::new(measure),
        }
    }

    /// Returns the result of a policy.
    pub(super) fn of(&self, results: &Results<'_>, policy: &str) -> Measure {
        (self.measure)(results, policy)
    }
}

/// A scenario and its load.
pub(crate) type At = (&'static str, f64);

/// The base scenario close to its quotas.
const QUOTA: At = ("quota", 0.95);
/// The base scenario above its quotas.
const OVERLOAD: At = ("quota", OVER);
/// The policy with the reference latency: tower's own balancer.
const PEAK_EWMA: &str = "tower-p2c-peak-ewma";
/// The reference of hedging: the same policy without it.
const UNHEDGED: &str = "steadfast-least-loaded";
/// The most attempts that open the breaker of an endpoint.
const TO_OPEN: u32 = 10;
/// The most probes in two minutes: after 5 and 10 s, then every 20 s, and one more if they come
/// early.
const PROBES: u32 = 7;
/// Means with a smaller difference are equal: it is in their last digit.
const ROUNDING: f64 = 1e-4;

/// Returns all goals, in the order of the page.
pub(super) fn goals() -> Vec<Goal> {
    let all = [
        quota_goals(),
        hint_goals(),
        loss_goals(),
        latency_goals(),
        trouble_goals(),
        refusal_goals(),
        evidence::goals(),
    ];
    all.into_iter().flatten().collect()
}

/// Success and attempts near the quotas and above.
fn quota_goals() -> Vec<Goal> {
    vec![
        Goal::new(
            "quota at 0.95",
            "≥ 99.9 %, ≤ 1.06 sends, ≤ 0.06 429s",
            |results, policy| Limits::new(0.999, 1.06, 0.06).of(results, QUOTA, policy),
        ),
        Goal::new(
            "quota at 1.1, an hour",
            "≥ 90.9 %, ≤ 0.05 429s",
            |results, policy| Limits::new(0.909, f64::INFINITY, 0.05).of(results, OVERLOAD, policy),
        ),
    ]
}

/// As good without hints, and with slow answers.
fn hint_goals() -> Vec<Goal> {
    vec![
        Goal::new(
            "without hints, 0.95",
            "as good as with",
            |results, policy| like(results, policy, ("quota-no-hint", 0.95), QUOTA, ROUNDING),
        ),
        Goal::new(
            "without hints, 1.1",
            "as good as with",
            |results, policy| like(results, policy, ("quota-no-hint", OVER), OVERLOAD, ROUNDING),
        ),
        Goal::new("all slow, 0.95", "within 0.1 points", |results, policy| {
            like(results, policy, ("quota-slow", 0.95), QUOTA, 1e-3)
        }),
        Goal::new("all slow, 1.1", "within 0.1 points", |results, policy| {
            like(results, policy, ("quota-slow", OVER), OVERLOAD, 1e-3)
        }),
    ]
}

/// Success if an endpoint is down, or if clients compete.
fn loss_goals() -> Vec<Goal> {
    vec![
        Goal::new("outage at 0.5", "≥ 99.9 %", |results, policy| {
            Limits::new(0.999, f64::INFINITY, f64::INFINITY).of(results, ("outage", 0.5), policy)
        }),
        Goal::new(
            "eight clients at 0.95",
            "≥ 99.5 %, ≤ 1.17 sends",
            |results, policy| {
                Limits::new(0.995, 1.17, f64::INFINITY).of(results, ("clients", 0.95), policy)
            },
        ),
    ]
}

/// Latency, and the share of each endpoint.
fn latency_goals() -> Vec<Goal> {
    vec![
        Goal::new("p99 at 0.5", "≤ PeakEWMA's", |results, policy| {
            p99(results, policy, ("quota", 0.5))
        }),
        Goal::new("p99 at 0.8", "≤ PeakEWMA's", |results, policy| {
            p99(results, policy, ("quota", 0.8))
        }),
        Goal::new(
            "shares at 0.95",
            "within 5 % of its quota",
            |results, policy| shares(results, policy, QUOTA),
        ),
        Goal::new(
            "shares at 1.1",
            "within 5 % of its quota",
            |results, policy| shares(results, policy, OVERLOAD),
        ),
    ]
}

/// Failures, stragglers and a rising load.
fn trouble_goals() -> Vec<Goal> {
    vec![
        Goal::new("fails fast for 120 s", "10 to open, 7 probes", fast_fail),
        Goal::new(
            "5 % stragglers",
            "p99.9 × 0.15, ≤ 5 % more sends",
            stragglers,
        ),
        Goal::new("ramp from 1.0 up", "p99 ≤ half of round robin's", ramp),
    ]
}

/// Attempts at an endpoint that always refuses.
fn refusal_goals() -> Vec<Goal> {
    vec![
        Goal::new(
            "always 429, alone",
            "≤ 1.2/s at 1 to 1,000/s",
            |results, policy| {
                let loads = REFUSING.iter().map(|load| ("refusing", *load));
                refusing(results, policy, loads.chain([("refusing-herd", 0.1)]))
            },
        ),
        Goal::new(
            "always 429, beside",
            "≤ 1.2/s at 1 to 1,000/s",
            |results, policy| {
                let loads = REFUSING.iter().map(|load| ("refusing-beside", *load));
                refusing(results, policy, loads)
            },
        ),
    ]
}

/// The least success, and the greatest number of attempts and refusals.
#[derive(Clone, Copy)]
struct Limits {
    /// The least success, from 0 to 1.
    success: f64,
    /// The most attempts per request.
    attempts: f64,
    /// The most `429`s per request.
    limited: f64,
}

impl Limits {
    /// Creates bounds on success, attempts and `429`s.
    fn new(success: f64, attempts: f64, limited: f64) -> Self {
        Self {
            success,
            attempts,
            limited,
        }
    }

    /// Compares a policy with the bounds.
    fn of(self, results: &Results<'_>, at: At, policy: &str) -> Measure {
        let mean = |of: fn(&Report) -> f64| results.mean(at, policy, of);
        let success = mean(|report| report.success);
        let attempts = mean(|report| report.attempts_per_request);
        let limited = mean(|report| report.rate_limited_per_request);
        let waited = results.time(at, policy, |report| report.details.waited_s);
        Measure {
            text: format!(
                "{} %, {attempts:.3}, {limited:.3}, waited {}",
                percent(success),
                time(waited)
            ),
            holds: success >= self.success && attempts <= self.attempts && limited <= self.limited,
            rank: success,
        }
    }
}

/// Requires that the success of one study is at most `tolerance` below the success of another.
fn like(results: &Results<'_>, policy: &str, at: At, other: At, tolerance: f64) -> Measure {
    let success = |at| results.mean(at, policy, |report| report.success);
    let (found, other) = (success(at), success(other));
    Measure {
        text: format!(
            "{} %, {:+.3} points",
            percent(found),
            100.0 * (found - other)
        ),
        holds: found >= other - tolerance,
        rank: found,
    }
}

/// Requires a 99th percentile that is at most the one of tower's balancer.
fn p99(results: &Results<'_>, policy: &str, at: At) -> Measure {
    let of = |policy: &str| results.time(at, policy, |report| report.p99_s);
    let found = of(policy);
    Measure {
        text: time(found),
        holds: found <= of(PEAK_EWMA),
        rank: -found,
    }
}

/// Requires that each endpoint serves its share of the quotas, within 5 %.
fn shares(results: &Results<'_>, policy: &str, at: At) -> Measure {
    let (study, _) = results.of(at.0, at.1, policy);
    let scenario = &study.scenario;
    let off = |n: usize| {
        let quota = scenario.share_of_rate(&scenario.endpoints[n]);
        let served = results.mean(at, policy, |report| report.details.served[n]);
        (served - quota, (served - quota) / quota)
    };
    let worst = |pick: fn((f64, f64)) -> f64| {
        let all = (0..scenario.endpoints.len()).map(|n| pick(off(n)).abs());
        all.fold(0.0, f64::max)
    };
    let (points, relative) = (worst(|off| off.0), worst(|off| off.1));
    Measure {
        text: format!("{:.1} points, {:.1} %", 100.0 * points, 100.0 * relative),
        holds: relative <= 0.05,
        rank: -relative,
    }
}

/// Requires few attempts at an endpoint that fails fast: the ones that open its breaker, and its
/// probes.
fn fast_fail(results: &Results<'_>, policy: &str) -> Measure {
    let at = ("fast-fail", 0.5);
    let (study, _) = results.of(at.0, at.1, policy);
    let (endpoint, trouble) = study.scenario.last_trouble().expect("one that fails");
    let span = trouble.start.as_secs() as usize..trouble.end.as_secs() as usize;
    let sent = |report: &Report| sum(report, endpoint, span.clone());
    let (_, row) = results.of(at.0, at.1, policy);
    let most = row.iter().map(sent).fold(0.0, f64::max);
    Measure {
        text: format!("{most:.0}"),
        holds: most <= f64::from(TO_OPEN + PROBES),
        rank: -most,
    }
}

/// Requires that hedging shortens the tail, and that it sends at most 5 % more attempts.
fn stragglers(results: &Results<'_>, policy: &str) -> Measure {
    let at = ("stragglers", 0.25);
    let tail = |policy: &str| results.time(at, policy, |report| report.details.p999_s);
    let (found, ratio) = (tail(policy), tail(policy) / tail(UNHEDGED));
    let sent = results.mean(at, policy, |report| report.attempts_per_request);
    Measure {
        text: format!(
            "{}, × {ratio:.2}, {:.2} %",
            time(found),
            100.0 * (sent - 1.0)
        ),
        holds: ratio <= 0.15 && sent <= 1.05,
        rank: -ratio,
    }
}

/// Requires half of the 99th percentile of round robin at each load from 1 up. The worst step
/// counts.
fn ramp(results: &Results<'_>, policy: &str) -> Measure {
    let p99 = |policy: &str, n: usize| {
        results.time(("ramp", 1.0), policy, |report| {
            report.details.steps_p99_s.get(n).copied()
        })
    };
    let steps = STEPS.iter().enumerate().filter(|(_, step)| **step >= 1.0);
    let ratios = steps.map(|(n, step)| (p99(policy, n) / p99("round-robin", n), step, n));
    let (ratio, step, n) = ratios
        .reduce(|worst, other| if other.0 > worst.0 { other } else { worst })
        .expect("a step from 1 up");
    Measure {
        text: format!("× {ratio:.2}, {} at {step}", time(p99(policy, n))),
        holds: ratio <= 0.5,
        rank: -ratio,
    }
}

/// Requires at most 1.2 attempts per second at an endpoint that always refuses, in its busiest ten
/// seconds.
///
/// The first second is separate: no policy can know the endpoint before the first refusal.
fn refusing(results: &Results<'_>, policy: &str, all: impl Iterator<Item = At>) -> Measure {
    let (mut first, mut most, mut success) = (0.0f64, 0.0f64, 1.0f64);
    for at in all {
        let (_, row) = results.of(at.0, at.1, policy);
        for report in row {
            first = first.max(sum(report, 0, 0..1));
            most = most.max(busiest(report, 0));
            success = success.min(report.success);
        }
    }
    Measure {
        text: format!(
            "{most:.1}/s, {first:.0} in the first second, {} % served",
            percent(success)
        ),
        holds: most <= 1.2,
        rank: -most,
    }
}

/// Returns the attempts per second at an endpoint in its busiest ten seconds after the first
/// second.
pub(crate) fn busiest(report: &Report, endpoint: usize) -> f64 {
    let attempts = &report.details.attempts;
    let seconds = attempts.get(endpoint).map_or(0, Vec::len);
    let windows = 1..seconds.saturating_sub(9);
    let rates = windows.map(|n| sum(report, endpoint, n..n + 10) / 10.0);
    rates.fold(0.0, f64::max)
}

/// Returns the attempts at an endpoint in a span of seconds.
fn sum(report: &Report, endpoint: usize, seconds: Range<usize>) -> f64 {
    let all = report.details.attempts.get(endpoint);
    let during = all.into_iter().flatten();
    let during = during.skip(seconds.start).take(seconds.len());
    during.map(|n| f64::from(*n)).sum()
}
