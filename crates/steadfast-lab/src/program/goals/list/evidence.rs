//! The goals for the evidence behind a limit.

use super::{At, Goal, Limits};
use crate::catalog::{BURST, LIFTED, NEIGHBOUR, RANDOM, evidence};
use crate::program::goals::measure::{Measure, Results, time};
use crate::program::numbers::percent;
use crate::report::Report;

/// The reference of random refusals: the retry layer without a balancer.
pub(in crate::program) const ALONE: &str = "retry-alone";
/// The longest mean latency, relative to the reference.
const LATENCY: f64 = 1.5;
/// The largest distance of success from the reference.
const SUCCESS: f64 = 1e-3;
/// The least served part of the quota beside the neighbour, and the most `429`s per request.
const LEFT: (f64, f64) = (0.95, 0.06);
/// The longest time from the end of a limit to full service, in seconds.
const FULL: f64 = 5.0;

/// Returns the goals on success and latency if refusals have another cause than the send rate, or
/// if a limit ends.
pub(super) fn goals() -> Vec<Goal> {
    vec![
        Goal::new(
            "random 429s, one endpoint",
            "within 0.1 points, mean ≤ × 1.5",
            |results, policy| random(results, policy, false),
        ),
        Goal::new(
            "random 429s, three endpoints",
            "within 0.1 points, mean ≤ × 1.5",
            |results, policy| random(results, policy, true),
        ),
        Goal::new(
            "neighbour uses half",
            "≥ 95 % of the rest, ≤ 0.06 429s",
            neighbour,
        ),
        Goal::new("limit lifted", "full in ≤ 5 s", lifted),
        Goal::new("bursts of 60", "100 %, ≤ 1.4 sends", |results, policy| {
            Limits::new(1.0, 1.4, f64::INFINITY).of(results, ("burst", BURST), policy)
        }),
    ]
}

/// Requires a success close to the reference, and at most 1.5 times its mean latency. The worst
/// scenario counts.
fn random(results: &Results<'_>, policy: &str, three: bool) -> Measure {
    let names = evidence().iter().map(|entry| entry.name());
    let names = names.filter(|name| name.starts_with("random") && name.contains("of-3") == three);
    let all = names.flat_map(|name| RANDOM.iter().map(move |load| (name, *load)));
    let (mut points, mut latency) = (f64::INFINITY, 0.0f64);
    for at in all {
        let success = |policy| results.mean(at, policy, |report: &Report| report.success);
        let mean = |policy| results.time(at, policy, |report| report.details.mean_s);
        points = points.min(success(policy) - success(ALONE));
        latency = latency.max(mean(policy) / mean(ALONE));
    }
    Measure {
        text: format!("{:+.3} points, × {latency:.2}", 100.0 * points),
        holds: points >= -SUCCESS && latency <= LATENCY,
        rank: points,
    }
}

/// Requires that the part of the quota beside the neighbour is used, or that all requests are
/// served if they need less.
fn neighbour(results: &Results<'_>, policy: &str) -> Measure {
    let (mut served, mut limited) = (f64::INFINITY, 0.0f64);
    for load in NEIGHBOUR {
        let at: At = ("neighbour", *load);
        let success = results.mean(at, policy, |report| report.success);
        served = served.min(success * (load / 0.5).max(1.0));
        limited = limited.max(results.mean(at, policy, |one| one.rate_limited_per_request));
    }
    Measure {
        text: format!("{} %, {limited:.3}", percent(served)),
        holds: served >= LEFT.0 && limited <= LEFT.1,
        rank: served,
    }
}

/// Requires full service soon after the end of a limit. The longest time of all runs counts.
fn lifted(results: &Results<'_>, policy: &str) -> Measure {
    let full = |name| {
        let (_, row) = results.of(name, LIFTED, policy);
        let seconds = row.iter().map(|report| report.details.full_s);
        seconds.fold(0.0f64, |most, full| most.max(full.unwrap_or(f64::INFINITY)))
    };
    let full = full("lifted-15").max(full("lifted-60"));
    Measure {
        text: time(full),
        holds: full <= FULL,
        rank: -full,
    }
}
