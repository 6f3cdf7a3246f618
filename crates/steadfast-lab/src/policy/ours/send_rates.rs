//! The learned send rate at refusals with and without a quota as their cause, in short runs.

use std::time::Duration;

use super::*;
use crate::catalog::{BURST, Entry, LIFTED, NEIGHBOUR, catalog, evidence, limits};
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
            // The first minute has more refusals than the others. The page runs five.
            let report = run(&ours(strategy), ("neighbour", *load, 240), 1);
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

/// The deviations of a binomial share that chance may take. With 100 cells, a rate without any
/// effect exceeds them once in 300 runs of the test.
const DEVIATIONS: f64 = 4.0;
/// Overloads with an end, and with callers that wait for it. Load shedding rejects within seconds
/// what waits for the end otherwise. So the send rates are compared without it as well.
const OVERLOADS: [&str; 8] = [
    "greedy",
    "lifted-15",
    "lifted-60",
    "neighbour",
    "outage",
    "short",
    "small-1",
    "small-3",
];
/// A short run of impatient callers leaves out the callers that wait after its end.
const IMPATIENT: [&str; 3] = ["impatient-5", "impatient-10", "impatient-mixed"];
/// The longest p99 of served requests in an overload with load shedding, in seconds.
const SOON: f64 = 5.0;
/// The time of a short run. Whole runs take three minutes in an optimized build.
const SHORT: Duration = Duration::from_secs(10);

/// The requests of a run, the share of served ones, and the 99th percentile of their latencies in
/// seconds.
struct Served(f64, f64, f64);

impl Served {
    /// Runs our policy with these settings of the balancer.
    fn of(
        (entry, load): (&Entry, f64),
        balance: fn(EndpointBalanceBuilder) -> EndpointBalanceBuilder,
    ) -> Self {
        let policy = Ours {
            balance,
            ..LEAST_LOADED
        };
        let scenario = match whole_runs() {
            true => entry.at(load),
            false if IMPATIENT.contains(&entry.name()) => entry.at(load).lasting(6 * SHORT),
            false => entry.at(load).lasting(SHORT),
        };
        let report = scenario.run(&policy, 1);
        let p99 = report.p99_s.unwrap_or_default();
        Self(report.requests as f64, report.success, p99)
    }

    /// Returns whether fewer requests are served than in `other`, by more than chance.
    fn is_less_than(&self, other: &Self) -> bool {
        let mean = (self.1 + other.1) / 2.0;
        let noise = (mean * (1.0 - mean) * (1.0 / self.0 + 1.0 / other.0)).sqrt();
        self.1 < other.1 - DEVIATIONS * noise - 1.0 / self.0
    }
}

fn whole_runs() -> bool {
    std::env::var("STEADFAST_SEND_RATES").is_ok_and(|runs| runs == "whole")
}

/// All scenarios with served requests. Short runs leave out the largest ones.
fn cells() -> impl Iterator<Item = (&'static Entry, f64)> {
    let all = catalog().iter().chain(limits()).chain(evidence());
    let cells = all.flat_map(|entry| entry.loads().iter().map(move |load| (entry, *load)));
    cells.filter(|(entry, load)| {
        let is_large = entry.name().starts_with("random") || entry.name() == "ramp";
        // The first seconds show that no rate reduces these refusals.
        let is_settling = entry.name().starts_with("random-50");
        whole_runs() || !is_settling && (!is_large || *load < 0.05)
    })
}

#[test]
fn send_rate_serves_no_less_than_the_stack_without_it() {
    let mut failures = Vec::new();
    for (entry, load) in cells() {
        let name = entry.name();
        let of = |balance| Served::of((entry, load), balance);
        let without = of(|balance| balance.learned_rates(false));
        let mut with = of(|balance| balance);
        let is_overload = OVERLOADS.contains(&name) && (name != "short" || load > 1.0);
        if with.is_less_than(&without) && is_overload && with.2 <= SOON.min(without.2) {
            let shed = with.1;
            with = of(|balance| balance.overload_wait(Duration::from_secs(30)));
            let (with, without) = (with.1, without.1);
            println!("{name} at {load}: {without:.4} without rates, {shed:.4}, {with:.4}");
        }
        if with.is_less_than(&without) {
            let (with, without) = ((with.1, with.2), (without.1, without.2));
            failures.push(format!("{name} at {load}: {with:.4?} and {without:.4?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
