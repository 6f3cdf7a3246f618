//! The goals of limits.
//!
//! Each goal is a bound on a number of one scenario. A test checks both sides of each bound.

use crate::program::goals::{ALONE, At, Goal, Measure, Results, busiest, time};
use crate::program::numbers::percent;
use crate::report::{CallerReport, Report};

/// The policy without hedging, with which the median of each policy is compared.
const UNHEDGED: &str = "steadfast-least-loaded";
/// The loads of `models`.
const MODELS: &[f64] = &[0.25, 0.5];
/// The loads of `greedy`.
const GREEDY: &[f64] = &[0.5, 0.8];
/// The loads of the impatient callers.
const OVERLOADS: &[f64] = &[1.2, 2.0, 5.0];
/// The loads of `forever`.
const FOREVER: &[f64] = &[0.05, 1.0, 5.0];
/// The loads of `short`.
const SHORT: &[f64] = &[0.8, 0.95, 1.6];
/// The scenarios of `refused`, and their loads.
const REFUSED: [&str; 4] = [
    "refused-1",
    "refused-3",
    "refused-1-no-hint",
    "refused-3-no-hint",
];
const REFUSED_ONCE: [&str; 3] = ["refused-once-1", "refused-once-5", "refused-once-5-no-hint"];
const BESIDE_REFUSED: &[f64] = &[0.01, 0.05];
/// The scenarios with a large share of refusals at random, and their loads.
const REFUSING: [&str; 3] = ["random-20", "random-20-of-3", "random-50-of-3"];
const RANDOM: &[f64] = &[0.01, 0.1];
/// The loads of `poison` and of `flapping`.
const RATES: &[f64] = &[0.001, 0.01, 0.05];

/// Returns all goals, in the order of the page.
pub(super) fn goals() -> Vec<Goal> {
    let all = [
        share_goals(),
        patience_goals(),
        short_goals(),
        outage_goals(),
        refusal_goals(),
    ];
    all.into_iter().flatten().collect()
}

/// A goal for one scenario at several loads.
fn over(
    name: &'static str,
    target: &'static str,
    (scenario, loads): (&'static str, &'static [f64]),
    measure: fn(&Results<'_>, &str, &[At]) -> Measure,
) -> Goal {
    let all: Vec<At> = loads.iter().map(|load| (scenario, *load)).collect();
    Goal::new(name, target, move |results, policy| {
        measure(results, policy, &all)
    })
}

/// A goal for one scenario at one load.
fn within(name: &'static str, target: &'static str, at: At, bounds: Bounds) -> Goal {
    Goal::new(name, target, move |results, policy| {
        bounds.of(results, at, policy)
    })
}

/// Quotas per model, per credential and per minute.
fn share_goals() -> Vec<Goal> {
    let (models, greedy) = (("models", MODELS), ("greedy", GREEDY));
    let (none, fair) = ("no failover, no wait", "≥ 99 % of each fair share");
    let minute = |name, load| {
        let bounds = Bounds::new(1.0).sends(1.01);
        within(name, "100 %, ≤ 1.01 sends", ("minute", load), bounds)
    };
    vec![
        over("models: the free one", none, models, untouched),
        over("greedy callers", fair, greedy, fair_shares),
        minute("minute at 0.8", 0.8),
        minute("minute at 0.95", 0.95),
    ]
}

/// Callers that cancel.
fn patience_goals() -> Vec<Goal> {
    let goal = |name, scenario| {
        let target = "≥ 95 % of quota, rejections ≤ 1 s, hints hold";
        over(name, target, (scenario, OVERLOADS), impatient)
    };
    let answered = "an answer ≤ 2 s, ≤ 1.2/s";
    vec![
        goal("patience of 2 s", "impatient-2"),
        goal("patience of 5 s", "impatient-5"),
        goal("patience of 10 s", "impatient-10"),
        goal("mixed patience", "impatient-mixed"),
        over("limited forever", answered, ("forever", FOREVER), forever),
    ]
}

/// Answers that are shorter than waits.
fn short_goals() -> Vec<Goal> {
    let low = "100 %, p50 ≤ 20 ms, p99 ≤ 100 ms, ≤ 0.06 429s";
    let high = "≥ 99.5 %, p50 ≤ 50 ms, p99 ≤ 1 s";
    let overload = Bounds::new(0.62).times(1.0, f64::INFINITY);
    let bounds = [
        Bounds::new(1.0).limited(0.06).times(0.02, 0.1),
        Bounds::new(0.995).times(0.05, 1.0),
    ];
    let unhedged = "no median above the one without hedging";
    vec![
        within("short at 0.8", low, ("short", 0.8), bounds[0]),
        within("short at 0.95", high, ("short", 0.95), bounds[1]),
        within(
            "short at 1.6",
            "≥ 62 %, p50 ≤ 1 s",
            ("short", 1.6),
            overload,
        ),
        over("short, hedged", unhedged, ("short", SHORT), medians),
    ]
}

/// Requests that make servers fail, and endpoints that change all the time.
fn outage_goals() -> Vec<Goal> {
    let two = ["poison-1-of-2", "poison-3-of-2", "poison-5-of-2"];
    let three = ["poison-1-of-3", "poison-3-of-3", "poison-5-of-3"];
    let served = "≥ 99.5 % with a healthy endpoint";
    vec![
        poison("poison, two endpoints", two),
        poison("poison, three endpoints", three),
        over("flapping", served, ("flapping", RATES), flapping),
    ]
}

/// Refusals that no quota causes.
fn refusal_goals() -> Vec<Goal> {
    vec![
        Goal::new(
            "refused",
            "≥ 98 % of the good requests",
            |results, policy| beside_refused(results, policy, (REFUSED, 0.98)),
        ),
        Goal::new(
            "refused, not repeated",
            "≥ 99 % of the good requests",
            |results, policy| beside_refused(results, policy, (REFUSED_ONCE, 0.99)),
        ),
        Goal::new(
            "many random 429s",
            "≥ 98 % of what retries alone serve",
            refusing,
        ),
    ]
}

/// Creates the goal for good requests beside requests that make servers fail.
fn poison(name: &'static str, scenarios: [&'static str; 3]) -> Goal {
    Goal::new(name, "no good request fails", move |results, policy| {
        let all = scenarios.into_iter();
        let all = all.flat_map(|name| RATES.iter().map(move |load| (name, *load)));
        good(results, policy, all)
    })
}

/// The least success, and the greatest number of attempts, refusals and seconds.
#[derive(Clone, Copy)]
struct Bounds {
    /// The least success, from 0 to 1.
    success: f64,
    /// The most attempts per request.
    sends: f64,
    /// The most `429`s per request.
    limited: f64,
    /// The longest median, in seconds.
    p50: f64,
    /// The longest 99th percentile, in seconds.
    p99: f64,
}

impl Bounds {
    /// Creates bounds on the success alone.
    fn new(success: f64) -> Self {
        Self {
            success,
            sends: f64::INFINITY,
            limited: f64::INFINITY,
            p50: f64::INFINITY,
            p99: f64::INFINITY,
        }
    }

    /// Sets the most attempts per request.
    fn sends(self, sends: f64) -> Self {
        Self { sends, ..self }
    }

    /// Sets the most `429`s per request.
    fn limited(self, limited: f64) -> Self {
        Self { limited, ..self }
    }

    /// Sets the longest median and 99th percentile, in seconds.
    fn times(self, p50: f64, p99: f64) -> Self {
        Self { p50, p99, ..self }
    }

    /// Compares a policy with the bounds.
    fn of(self, results: &Results<'_>, at: At, policy: &str) -> Measure {
        let mean = |of: fn(&Report) -> f64| results.mean(at, policy, of);
        let success = mean(|report| report.success);
        let sends = mean(|report| report.attempts_per_request);
        let limited = mean(|report| report.rate_limited_per_request);
        let p50 = results.time(at, policy, |report| report.p50_s);
        let p99 = results.time(at, policy, |report| report.p99_s);
        Measure {
            text: format!(
                "{} %, {sends:.3}, {limited:.3}, {} and {}",
                percent(success),
                time(p50),
                time(p99)
            ),
            holds: success >= self.success
                && sends <= self.sends
                && limited <= self.limited
                && p50 <= self.p50
                && p99 <= self.p99,
            rank: success,
        }
    }
}

/// Returns all reports of a policy at these loads.
fn reports<'a>(
    results: &Results<'a>,
    policy: &str,
    all: impl IntoIterator<Item = At>,
) -> Vec<&'a Report> {
    let rows = all.into_iter().map(|at| results.of(at.0, at.1, policy).1);
    rows.flatten().collect()
}

/// Returns the worst value, which `pick` selects.
fn worst(values: impl Iterator<Item = f64>, pick: fn(f64, f64) -> f64) -> f64 {
    values.reduce(pick).unwrap_or(f64::NAN)
}

/// Requires that the first caller, which has no limit, has no failure, no failover and no wait.
fn untouched(results: &Results<'_>, policy: &str, all: &[At]) -> Measure {
    let reports = reports(results, policy, all.iter().copied());
    let free = || reports.iter().map(|report| &report.details.callers[0]);
    let failed: u64 = free().map(|caller| caller.failed).sum();
    let sends = worst(free().map(|caller| caller.attempts_per_request), f64::max);
    let waited = worst(free().map(|caller| caller.waited_max_s), f64::max);
    Measure {
        text: format!(
            "{failed} failed, {sends:.3}, waited {} at most",
            time(waited)
        ),
        holds: failed == 0 && sends <= 1.0 && waited <= 0.0,
        rank: -(failed as f64) - sends,
    }
}

/// Requires that each caller gets its fair share.
fn fair_shares(results: &Results<'_>, policy: &str, all: &[At]) -> Measure {
    let reports = reports(results, policy, all.iter().copied());
    let least = |n: usize| {
        let shares = reports
            .iter()
            .map(|one| one.details.callers[n].of_fair_share);
        worst(shares, f64::min)
    };
    let (modest, greedy) = (least(0), least(1));
    Measure {
        text: format!("{} and {} %", percent(modest), percent(greedy)),
        holds: modest.min(greedy) >= 0.99,
        rank: modest.min(greedy),
    }
}

/// Requires successes for the quota, early rejections for the rest, and true hints.
fn impatient(results: &Results<'_>, policy: &str, all: &[At]) -> Measure {
    let of_quota = all.iter().map(|at| {
        results.mean(*at, policy, |report| {
            report.details.of_quota.unwrap_or(f64::NAN)
        })
    });
    let of_quota: Vec<_> = of_quota.collect();
    let reports = reports(results, policy, all.iter().copied());
    let rejections = || reports.iter().map(|report| &report.details.rejections);
    let late = rejections().filter_map(|one| one.p99_s).fold(0.0, f64::max);
    let hold = rejections()
        .filter_map(|one| one.hints_hold)
        .fold(1.0, f64::min);
    let least = worst(of_quota.iter().copied(), f64::min);
    let shares: Vec<_> = of_quota
        .iter()
        .map(|share| format!("{:.0}", 100.0 * share))
        .collect();
    Measure {
        text: format!(
            "{} %, rejected ≤ {}, {:.1} % hold",
            shares.join("/"),
            time(late),
            100.0 * hold
        ),
        holds: least >= 0.95 && late <= 1.0 && hold >= 0.99,
        rank: least,
    }
}

/// Requires early rejections and few attempts at endpoints that always refuse.
fn forever(results: &Results<'_>, policy: &str, all: &[At]) -> Measure {
    let reports = reports(results, policy, all.iter().copied());
    let longest = worst(reports.iter().map(|one| one.details.ended_max_s), f64::max);
    let rates = reports.iter().flat_map(|report| {
        let endpoints = 0..report.details.attempts.len();
        endpoints.map(|endpoint| busiest(report, endpoint))
    });
    let most = rates.fold(0.0, f64::max);
    Measure {
        text: format!("{}, {most:.1}/s", time(longest)),
        holds: longest <= 2.0 && most <= 1.2,
        rank: -most,
    }
}

/// Requires that hedging does not raise the median at any load, by more than chance.
fn medians(results: &Results<'_>, policy: &str, all: &[At]) -> Measure {
    let median = |at: &At| results.time(*at, policy, |report| report.p50_s);
    let texts: Vec<_> = all.iter().map(|at| time(median(at))).collect();
    let ratios: Vec<_> = all.iter().map(|at| raise(results, policy, *at)).collect();
    let ratio = worst(ratios.iter().map(|(mean, _)| *mean), f64::max);
    let least = worst(
        ratios.iter().map(|(mean, error)| mean - 2.0 * error),
        f64::max,
    );
    Measure {
        text: format!("{}, × {ratio:.2}", texts.join(", ")),
        holds: ratio.is_finite() && least <= 1.01,
        rank: -ratio,
    }
}

/// Returns the ratio of the median of `policy` to the one without hedging, and its standard error.
/// Both have the same arrivals for each seed.
fn raise(results: &Results<'_>, policy: &str, (scenario, load): At) -> (f64, f64) {
    let of = |policy| results.of(scenario, load, policy).1.iter();
    let median = |report: &Report| report.p50_s.unwrap_or(f64::INFINITY);
    let pairs = of(policy).zip(of(UNHEDGED));
    let ratios: Vec<_> = pairs
        .map(|(one, base)| median(one) / median(base))
        .collect();
    let count = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / count;
    let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    let variance = squares / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

/// Requires that no request of the first caller fails.
fn good(results: &Results<'_>, policy: &str, all: impl Iterator<Item = At>) -> Measure {
    let reports = reports(results, policy, all);
    let sum = |of: fn(&CallerReport) -> u64| -> u64 {
        reports.iter().map(|one| of(&one.details.callers[0])).sum()
    };
    let (failed, all) = (sum(|caller| caller.failed), sum(|caller| caller.requests));
    Measure {
        text: format!("{failed} of {all}"),
        holds: failed == 0,
        rank: -(failed as f64),
    }
}

/// Requires that nearly no request of the first caller fails, in each scenario.
fn beside_refused<const N: usize>(
    results: &Results<'_>,
    policy: &str,
    (scenarios, bound): ([&'static str; N], f64),
) -> Measure {
    let served = |name: &'static str| {
        let all = BESIDE_REFUSED.iter().map(move |load| (name, *load));
        let shares = all.map(|at| {
            let reports = reports(results, policy, [at]);
            let good = reports.iter().map(|one| &one.details.callers[0]);
            let (failed, all) = good.fold((0, 0), |(failed, all), caller| {
                (failed + caller.failed, all + caller.requests)
            });
            1.0 - failed as f64 / all as f64
        });
        worst(shares, f64::min)
    };
    shares(scenarios.map(served), bound)
}

/// Requires nearly the success of the retry layer alone, in each scenario with random refusals.
fn refusing(results: &Results<'_>, policy: &str) -> Measure {
    let served = |name: &'static str| {
        let all = RANDOM.iter().map(move |load| (name, *load));
        let success = |at, policy| results.mean(at, policy, |report: &Report| report.success);
        worst(
            all.map(|at| success(at, policy) / success(at, ALONE)),
            f64::min,
        )
    };
    shares(REFUSING.map(served), 0.98)
}

/// Requires that each share is at least `bound`.
fn shares<const N: usize>(shares: [f64; N], bound: f64) -> Measure {
    let least = worst(shares.into_iter(), f64::min);
    // Ours may serve more: refusals are free repeats within the deadline.
    Measure {
        text: format!(
            "{} %",
            shares.map(|share| percent(share.min(1.0))).join("/")
        ),
        holds: least >= bound,
        rank: least,
    }
}

/// Requires a success for each request with a healthy endpoint.
fn flapping(results: &Results<'_>, policy: &str, all: &[At]) -> Measure {
    let served = all.iter().map(|at| {
        let served = |report: &Report| report.details.with_healthy_endpoint;
        results.mean(*at, policy, |report| served(report).unwrap_or(f64::NAN))
    });
    let served: Vec<_> = served.collect();
    let texts: Vec<_> = served.iter().map(|share| percent(*share)).collect();
    let least = worst(served.into_iter(), f64::min);
    Measure {
        text: format!("{} %", texts.join("/")),
        holds: least >= 0.995,
        rank: least,
    }
}
