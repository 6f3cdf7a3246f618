//! The learned send rate at refusals with and without a quota as their cause, in short runs.

use std::time::Duration;

use super::*;
use crate::catalog::{BURST, Entry, LIFTED, NEIGHBOUR, evidence};
use crate::policy::retry_only::alone;
use crate::report::Report;

/// The strategies without hedges.
const STRATEGIES: [Strategy; 3] = [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored];

fn entry(name: &str) -> &'static Entry {
    let mut all = evidence().iter();
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

/// A share of the requests is refused at random, so no rate would have fewer refusals.
#[test]
fn random_refusals_cost_as_little_as_with_retries_alone() {
    for at in [("random-5", 0.1, 60), ("random-0.5-no-hint", 0.1, 60)] {
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
        let report = run(&ours(strategy), ("lifted-15", LIFTED, 60), 1);
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
