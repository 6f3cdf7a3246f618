use std::time::Duration;

use steadfast_testkit::Quota;

use super::*;
use crate::report::details::steps_p99;
use crate::report::trouble::{back, full, peak_amplification, recovered, retried};
use crate::world::{Arrivals, Endpoint, Trouble};

const SECOND: Duration = Duration::from_secs(1);

fn served(arrived: Duration) -> Record {
    Record {
        arrived,
        took: 2 * SECOND,
        waited: SECOND,
        served_by: Some(0),
        attempts: 1,
        ..Record::default()
    }
}

fn lost(arrived: Duration) -> Record {
    Record {
        served_by: None,
        attempts: 3,
        limited: 3,
        ..served(arrived)
    }
}

#[test]
fn quantiles_are_nearest_ranks() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(quantile(&values, 0.5), Some(50.0));
    assert_eq!(quantile(&values, 0.99), Some(99.0));
    assert_eq!(quantile(&values, 0.999), Some(100.0));
    assert_eq!(quantile(&values[..1], 0.5), Some(1.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn report_counts_requests_attempts_and_refusals() {
    let scenario = Scenario::new("a")
        .endpoint(Endpoint::new("a").cost(3.0))
        .endpoint(Endpoint::new("b"));
    let other = Record {
        served_by: Some(1),
        took: 4 * SECOND,
        ..served(SECOND)
    };
    let records = [served(SECOND), served(SECOND), other, lost(2 * SECOND)];
    let ticks = [vec![3, 0], vec![1, 2]];
    let report = Report::new(&scenario, "policy", 7, &records, &ticks);
    assert_eq!((report.requests, report.seed, report.load), (4, 7, None));
    assert_eq!(report.success, 0.75);
    assert_eq!(report.attempts_per_request, 1.5);
    assert_eq!(report.rate_limited_per_request, 0.75);
    assert_eq!((report.p50_s, report.p99_s), (Some(2.0), Some(4.0)));
    assert_eq!(report.shares, [0.5, 0.5]);
    let details = &report.details;
    assert_eq!(details.cost, Some(7.0 / 3.0));
    assert_eq!(details.served, [2.0 / 3.0, 1.0 / 3.0]);
    assert_eq!(details.waited_s, Some(1.0));
    assert_eq!(details.attempts, [[3], [3]]);
    assert_eq!(
        (&details.arrivals[..], &details.successes[..]),
        (&[0, 3, 1][..], &[0, 3][..])
    );
}

#[test]
fn report_without_success_has_no_latency_and_no_cost() {
    let scenario = Scenario::new("a").endpoint(Endpoint::new("a"));
    let report = Report::new(&scenario, "policy", 1, &[lost(SECOND)], &[vec![]]);
    assert_eq!(
        (report.success, report.p50_s, report.details.cost),
        (0.0, None, None)
    );
    let empty = Report::new(&scenario, "policy", 1, &[], &[vec![]]);
    assert_eq!((empty.requests, empty.success), (0, 0.0));
    assert_eq!(empty.details.peak_amplification, 0.0);
}

/// The second that has most attempts for its requests begins at no full one.
#[test]
fn peak_amplification_is_maximum_over_any_second() {
    let mut arrivals = vec![1; 30];
    let mut attempts = vec![1; 30];
    attempts[4] = 0;
    attempts[12] = 3;
    attempts[14] = 4;
    assert_eq!(peak_amplification(&[attempts.clone()], &arrivals), 1.5);
    arrivals.truncate(13);
    assert_eq!(
        peak_amplification(&[attempts], &arrivals),
        1.1,
        "none came after that"
    );
}

#[test]
fn recovery_is_second_after_last_bad_second() {
    let records = |bad: &[u32]| -> Vec<_> {
        let second = |n: u32| {
            if bad.contains(&n) {
                lost(n * SECOND)
            } else {
                served(n * SECOND)
            }
        };
        (0..20).map(second).collect()
    };
    let healed = 10 * SECOND;
    assert_eq!(recovered(&records(&[8, 9]), healed), Some(0.0));
    assert_eq!(recovered(&records(&[9, 10, 12]), healed), Some(3.0));
    assert_eq!(recovered(&records(&[18]), healed), Some(9.0));
    assert_eq!(recovered(&records(&[19]), healed), None, "it never did");
}

/// With random failures, no policy without retries would ever recover. A request with any other
/// failure counts.
#[test]
fn random_failures_do_not_delay_recovery() {
    let records = |unlucky| -> Vec<_> {
        let second = |n: u32| Record {
            unlucky,
            ..lost(n * SECOND)
        };
        (0..20).map(second).collect()
    };
    assert_eq!(recovered(&records(3), 10 * SECOND), Some(0.0));
    assert_eq!(recovered(&records(2), 10 * SECOND), None);
    let nobody_asked = Record {
        attempts: 0,
        ..lost(10 * SECOND)
    };
    assert_eq!(recovered(&[nobody_asked], 10 * SECOND), None);
}

#[test]
fn return_is_second_with_four_fifths_of_earlier_traffic() {
    let scenario = Scenario::new("a").endpoint(Endpoint::new("a").trouble(5..10, Trouble::Refuses));
    let ticks: Vec<u32> = (0..30)
        .flat_map(|second| match second {
            0..5 => [10; 10],
            5..13 => [0; 10],
            13 => [4; 10],
            _ => [9; 10],
        })
        .collect();
    // Of the five seconds from 13 on, one has 40 and the others 90 attempts: 80 on average.
    assert_eq!(back(&scenario, &[ticks]), Some(3.0));
    assert_eq!(back(&scenario, &[vec![1; 150]]), Some(0.0));
    assert_eq!(
        back(&scenario, &[vec![1; 140]]),
        None,
        "five seconds are not over"
    );
    assert_eq!(back(&scenario, &[vec![1; 90]]), None);
}

#[test]
fn full_service_is_second_from_which_attempts_match_requests() {
    let quota = Trouble::Quota(Quota::new(1, SECOND));
    let scenario = Scenario::new("a").endpoint(Endpoint::new("a").trouble(0..5, quota));
    let full = |slow: &[usize]| {
        let ticks: Vec<u32> = (0..20)
            .flat_map(|second| [if slow.contains(&second) { 9 } else { 10 }; 10])
            .collect();
        full(&scenario, &[ticks], &[100; 20])
    };
    assert_eq!(full(&[3, 4]), Some(0.0));
    assert_eq!(full(&[4, 5, 8]), Some(4.0));
    assert_eq!(full(&[19]), None, "it never was");
}

/// A failed second attempt is another reason for a retry.
#[test]
fn retried_share_counts_failed_first_attempts_with_a_retry() {
    let failed = |attempts| Record {
        failed_first: true,
        attempts,
        ..served(SECOND)
    };
    let later = Record {
        unlucky: 1,
        attempts: 2,
        ..served(SECOND)
    };
    let share = |records: &[_]| retried(records, |record| record.failed_first);
    assert_eq!(share(&[failed(2), failed(1), later]), Some(0.5));
    assert_eq!(share(&[served(SECOND), later]), None);
}

/// An early failure would look fast.
#[test]
fn step_percentile_counts_failure_as_deadline() {
    let scenario = Scenario::new("a")
        .endpoint(Endpoint::new("a"))
        .arrivals(Arrivals::Steps(vec![1.0, 2.0]))
        .lasting(20 * SECOND)
        .deadline(7 * SECOND);
    let end = 10 * SECOND;
    let nano = Duration::from_nanos(1);
    let records = [served(SECOND), served(end - nano), lost(end)];
    assert_eq!(steps_p99(&scenario, &records), [2.0, 7.0]);
    let even = scenario.arrivals(Arrivals::Constant(1.0));
    assert!(steps_p99(&even, &records).is_empty());
}

#[test]
fn late_requests_are_in_flight_at_deadline() {
    let endpoint = |name| Endpoint::new(name).latency(crate::Latency::Constant(5 * SECOND));
    let run = |scenario: Scenario| {
        let policies = crate::policies();
        let policy = policies.iter().find(|policy| policy.name() == "no-retry");
        scenario
            .arrivals(Arrivals::Constant(1.0))
            .lasting(4 * SECOND)
            .deadline(4 * SECOND)
            .run(&**policy.expect("it is there"), 1)
    };
    let slow = run(Scenario::new("slow").endpoint(endpoint("a")));
    assert_eq!((slow.success, slow.details.late), (0.0, 1.0));
    let limits = endpoint("a").trouble(0..9, Trouble::Limits(SECOND));
    let limited = run(Scenario::new("limited").endpoint(limits));
    assert_eq!((limited.success, limited.details.late), (0.0, 0.0));
}
