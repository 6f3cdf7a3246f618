//! The learned send rate beside the same stack without it, in short runs.

use std::time::Duration;

use super::*;
use crate::catalog::{BURST, Entry, LIFTED, NEIGHBOUR, catalog, evidence, limits};
use crate::policy::retry_only::alone;
use crate::report::Report;

/// The served share that chance may take: two requests of a thousand.
const CHANCE: f64 = 0.002;
/// The strategies without hedges.
const STRATEGIES: [Strategy; 3] = [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored];
/// Scenarios with a quota as the cause of refusals, and without one: the name, the load and the
/// seconds of a run.
const SCENARIOS: [(&str, f64, u64); 14] = [
    ("random-5", 0.01, 60),
    ("random-5", 0.1, 10),
    ("random-0.5-no-hint", 0.1, 10),
    ("random-5-of-3", 0.01, 60),
    ("neighbour", 0.45, 60),
    ("neighbour", 0.55, 60),
    ("lifted-15", LIFTED, 30),
    ("burst", BURST, 60),
    ("quota", 0.95, 40),
    ("quota", 1.1, 40),
    ("short", 0.8, 20),
    ("short", 0.95, 20),
    ("short", 1.6, 20),
    ("minute", 0.95, 180),
];

fn entry(name: &str) -> &'static Entry {
    let mut all = catalog().iter().chain(evidence()).chain(limits());
    all.find(|entry| entry.name() == name).expect("a scenario")
}

/// A shorter run than on the page.
fn run(policy: &dyn Policy, (name, load, seconds): (&str, f64, u64), seed: u64) -> Report {
    let scenario = entry(name).at(load).lasting(Duration::from_secs(seconds));
    scenario.run(policy, seed)
}

fn ours(strategy: Strategy) -> Ours {
    Ours {
        strategy,
        ..LEAST_LOADED
    }
}

#[test]
fn send_rate_serves_no_less_than_stack_without_it() {
    let mut failures = Vec::new();
    for at in SCENARIOS {
        for strategy in STRATEGIES {
            let without = Ours {
                balance: |balance| balance.learned_rates(false),
                ..ours(strategy)
            };
            let [with, without] = [ours(strategy), without].map(|policy| {
                let reports = [1, 2].map(|seed| run(&policy, at, seed));
                let mean = |of: fn(&Report) -> f64| reports.iter().map(of).sum::<f64>() / 2.0;
                let limited = mean(|report| report.rate_limited_per_request);
                let p99 = mean(|report| report.p99_s.unwrap_or(f64::INFINITY));
                (mean(|report| report.success), limited, p99)
            });
            let text = format!("{at:?} {strategy:?}: with {with:.4?}, without {without:.4?}");
            println!("{text}");
            if with.0 < without.0 - CHANCE {
                failures.push(text);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A share of the requests is refused at random, so no rate would have fewer refusals.
#[test]
fn random_refusals_cost_as_little_as_with_retries_alone() {
    for at in [("random-5", 0.1, 20), ("random-0.5-no-hint", 0.1, 30)] {
        let reference = run(&*alone(), at, 1);
        for strategy in STRATEGIES {
            let report = run(&ours(strategy), at, 1);
            assert!(
                report.success >= reference.success - 0.001,
                "{at:?} {report:?}"
            );
            let mean = |report: &Report| report.details.mean_s.expect("successes");
            let ratio = mean(&report) / mean(&reference);
            assert!(ratio <= 1.5, "{at:?} {strategy:?}: {ratio}");
        }
    }
}

#[test]
fn quota_beside_neighbour_is_served() {
    for load in NEIGHBOUR {
        for strategy in STRATEGIES {
            let report = run(&ours(strategy), ("neighbour", *load, 120), 1);
            let served = report.success * (load / 0.5).max(1.0);
            assert!(served >= 0.95, "{strategy:?} at {load}: {served}");
            let limited = report.rate_limited_per_request;
            assert!(limited <= 0.06, "{strategy:?} at {load}: {limited}");
        }
    }
}

#[test]
fn lifted_limit_is_used_within_five_seconds() {
    for strategy in STRATEGIES {
        let report = run(&ours(strategy), ("lifted-15", LIFTED, 40), 1);
        let full = report.details.full_s.expect("full service");
        assert!(full <= 5.0, "{strategy:?}: {full}");
    }
}

#[test]
fn bursts_are_served_with_few_attempts() {
    for strategy in STRATEGIES {
        let report = run(&ours(strategy), ("burst", BURST, 60), 1);
        assert_eq!(report.success, 1.0, "{strategy:?}");
        let sends = report.attempts_per_request;
        assert!(sends <= 1.4, "{strategy:?}: {sends}");
    }
}
