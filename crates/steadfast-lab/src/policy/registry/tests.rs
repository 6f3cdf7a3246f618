//! Properties of every policy, ours and the others.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_testkit::Quota;

use super::*;
use crate::catalog::refusing;
use crate::report::Report;
use crate::world::{Arrivals, Endpoint, Hint, Latency, Scenario, Trouble};

const SECOND: Duration = Duration::from_secs(1);

/// Two clients, limits with and without hints, and every kind of trouble.
fn trouble() -> Scenario {
    let endpoint = |name, n, median| {
        Endpoint::new(name)
            .requests(Quota::new(n, SECOND))
            .latency(Latency::LogNormal(SECOND.mul_f64(median), 0.5))
            .failures(0.02)
    };
    Scenario::new("trouble")
        .endpoint(endpoint("a", 8, 0.2).trouble(5..10, Trouble::Refuses))
        .endpoint(endpoint("b", 4, 0.3).trouble(8..12, Trouble::Fails(0.7, 500)))
        .endpoint(
            endpoint("c", 2, 0.5)
                .hint(Hint::Millis)
                .trouble(14..16, Trouble::Hangs),
        )
        .endpoint(endpoint("d", 2, 1.0).hint(Hint::Absent).capacity(4))
        .attempt_timeout(3 * SECOND)
        .clients(2)
        .load(1.2)
        .lasting(20 * SECOND)
}

#[test]
fn policies_have_distinct_names_and_descriptions() {
    let names: BTreeSet<_> = policies().iter().map(|policy| policy.name()).collect();
    assert_eq!(names.len(), policies().len());
    assert!(policies().iter().all(|policy| policy.about().len() > 20));
}

/// A report holds each second of the run, so a single draw from a generator that has no seed would
/// show.
#[test]
fn every_policy_repeats_run_of_a_seed() {
    for policy in policies() {
        let run = |seed| trouble().run(&*policy, seed);
        let report = run(1);
        assert_eq!(report, run(1), "{}", policy.name());
        assert_ne!(report.details, run(2).details, "{}", policy.name());
        assert!(report.success > 0.1, "{report:?}");
    }
}

#[test]
fn every_policy_gets_equal_requests() {
    let arrivals = |policy: &dyn Policy| trouble().run(policy, 1).details.arrivals;
    let all: BTreeSet<_> = policies()
        .iter()
        .map(|policy| arrivals(&**policy))
        .collect();
    assert_eq!(all.len(), 1);
}

#[test]
fn no_policy_exceeds_attempt_limit() {
    let endpoint = |name| Endpoint::new(name).failures(1.0);
    let run = |policy: &dyn Policy, attempts| -> Report {
        Scenario::new("outage")
            .endpoint(endpoint("a"))
            .endpoint(endpoint("b"))
            .arrivals(Arrivals::Constant(1.0))
            .lasting(60 * SECOND)
            .attempts(attempts)
            .deadline(600 * SECOND)
            .run(policy, 1)
    };
    let mut most: f64 = 0.0;
    for policy in policies() {
        let attempts = [1, 4].map(|n| run(&*policy, n).attempts_per_request);
        assert!(attempts[0] <= 1.0, "{}: {attempts:?}", policy.name());
        assert!(attempts[1] <= 4.0, "{}: {attempts:?}", policy.name());
        most = most.max(attempts[1]);
    }
    assert_eq!(most, 4.0, "those without breaker make them all");
}

/// An endpoint that answers all with 429 and `Retry-After: 1`: after the first second ours ask once
/// a second, however many wait for it.
#[test]
fn ours_sends_one_attempt_per_second_to_refusing_endpoint() {
    for load in [0.001, 0.01, 0.1] {
        for entry in refusing() {
            let scenario = entry.at(load);
            for policy in ours::all() {
                let report = scenario.run(&*policy, 1);
                let asked = &report.details.attempts[0];
                // Waiting requests reach their deadline after the last arrivals. Then each
                // cancelled probe makes room for the next one, so there are more: `goals` shows it.
                let asked = &asked[1..asked.len().min(30)];
                let most = asked.windows(10).map(|ten| ten.iter().sum()).max();
                assert!(
                    most <= Some(12),
                    "{} {load} {}: {asked:?}",
                    entry.name(),
                    policy.name()
                );
                if entry.name() == "refusing-beside" {
                    assert_eq!(report.success, 1.0, "{load} {}", policy.name());
                }
            }
        }
    }
}
