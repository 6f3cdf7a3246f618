//! The scenarios of the page on limits: what each of ours reaches, and the premise of each
//! scenario.
//!
//! The page has all requirements. These tests pin the reached ones.

use std::time::Duration;

use steadfast_lab::{CallerReport, Entry, Policy, Report, limits, policies};

/// All of ours but the hedged one, which sends more by intention.
const UNHEDGED: [&str; 3] = [
    "steadfast-failover",
    "steadfast-least-loaded",
    "steadfast-scored",
];

fn entry(name: &str) -> &'static Entry {
    let found = limits().find(|entry| entry.name() == name);
    found.expect("a scenario of the page")
}

fn policy(name: &str) -> Box<dyn Policy> {
    let found = policies().into_iter().find(|policy| policy.name() == name);
    found.expect("a policy")
}

/// A shorter run than on the page.
fn run(scenario: &str, load: f64, by: &str, seconds: u64) -> Report {
    let scenario = entry(scenario).at(load);
    let scenario = scenario.lasting(Duration::from_secs(seconds));
    scenario.run(&*policy(by), 1)
}

fn first_caller(report: &Report) -> &CallerReport {
    &report.details.callers[0]
}

#[test]
fn quotas_per_minute_are_used_up_without_a_loss() {
    for name in UNHEDGED {
        for load in [0.8, 0.95] {
            let report = run("minute", load, name, 600);
            assert_eq!(report.success, 1.0, "{name} at {load}");
            let sends = report.attempts_per_request;
            assert!(sends <= 1.01, "{name} at {load}: {sends}");
        }
    }
}

/// Beside a limited model, requests for another model failed with 503, failed over or waited: an
/// endpoint had one cooldown and one send rate for all models.
#[test]
fn limited_model_delays_no_request_for_another_model() {
    for name in ["steadfast-least-loaded", "steadfast-scored"] {
        let report = run("models", 0.5, name, 120);
        let free = first_caller(&report);
        let found = (free.failed, free.attempts_per_request, free.waited_max_s);
        assert_eq!(found, (0, 1.0, 0.0), "{name}");
    }
}

/// A greedy caller took the slots of all others, although each caller has a quota of its own.
#[test]
fn greedy_caller_takes_nothing_from_modest_caller() {
    for name in UNHEDGED {
        let report = run("greedy", 0.5, name, 20);
        for caller in &report.details.callers {
            let share = caller.of_fair_share;
            assert!(share >= 0.99, "{name} {}: {share}", caller.name);
        }
    }
}

#[test]
fn short_answers_succeed_with_few_refusals() {
    for name in UNHEDGED {
        let report = run("short", 0.8, name, 60);
        assert_eq!(report.success, 1.0, "{name}");
        let limited = report.rate_limited_per_request;
        assert!(limited <= 0.06, "{name}: {limited}");
    }
}

/// Endpoints that are limited forever are sent one attempt per second each, and callers are
/// answered.
#[test]
fn endpoints_limited_forever_get_one_attempt_per_second() {
    for name in UNHEDGED {
        let report = run("forever", 1.0, name, 30);
        for attempts in &report.details.attempts {
            let most = attempts[1..].windows(10).map(|ten| ten.iter().sum::<u32>());
            assert!(most.max() <= Some(12), "{name}: {attempts:?}");
        }
        assert_eq!(report.success, 0.0, "{name}");
        let longest = report.details.ended_max_s;
        assert!(longest <= 2.0, "{name}: {longest}");
    }
}

/// Without retries, every loss of a caller is caused by its endpoint and not by a policy.
#[test]
fn endpoints_refuse_only_caller_above_its_quota() {
    for (scenario, load) in [("models", 0.5), ("greedy", 0.5)] {
        let report = run(scenario, load, "no-retry", 60);
        assert_eq!(first_caller(&report).failed, 0, "{scenario}");
        let other = &report.details.callers[1];
        assert!(other.failed > other.requests / 3, "{scenario}: {other:?}");
    }
}

#[test]
fn endpoints_fail_every_bad_request_and_no_good_one() {
    for scenario in ["poison-5-of-2", "poison-5-of-3"] {
        let report = run(scenario, 0.01, "no-retry", 60);
        assert_eq!(first_caller(&report).failed, 0, "{scenario}");
        let bad = &report.details.callers[1];
        assert_eq!(bad.failed, bad.requests, "{scenario}");
    }
}

/// The repeats of such requests were the probes of the cooldowns that they had begun.
#[test]
fn always_refused_requests_fail_no_good_request() {
    for name in UNHEDGED {
        for scenario in ["refused-1", "refused-1-no-hint"] {
            let report = run(scenario, 0.01, name, 60);
            assert_eq!(first_caller(&report).failed, 0, "{name} {scenario}");
        }
    }
}

/// The refusals of requests that are not repeated, and refusals at random, lowered the send rate of
/// all others down to nearly nothing.
#[test]
fn refusals_at_any_rate_cost_few_other_requests() {
    for name in UNHEDGED {
        let report = run("refused-once-5", 0.01, name, 120);
        let good = first_caller(&report);
        // The first seconds show that no rate reduces the refusals, and cost the difference.
        assert!(good.failed * 10 <= good.requests, "{name}: {good:?}");
        let served = |by| run("random-20-of-3", 0.1, by, 60).success;
        let (ours, alone) = (served(name), served("retry-alone"));
        assert!(ours >= 0.8 * alone, "{name}: {ours} of {alone}");
    }
}

/// A policy without queues uses the whole quota.
#[test]
fn quota_of_impatient_callers_can_be_used_up() {
    for scenario in [
        "impatient-2",
        "impatient-5",
        "impatient-10",
        "impatient-mixed",
    ] {
        let report = run(scenario, 2.0, "envoy", 30);
        let of_quota = report.details.of_quota.expect("a quota");
        assert!(of_quota > 0.95, "{scenario}: {of_quota}");
        assert_eq!(report.details.cancelled, 0.0, "{scenario}");
        assert_eq!(
            report.details.rejections.hints_hold,
            Some(1.0),
            "{scenario}"
        );
    }
}

/// The queue spent nearly every slot on a request with a caller that cancelled right after.
#[test]
fn quota_is_served_to_callers_that_still_wait() {
    for scenario in [
        "impatient-2",
        "impatient-5",
        "impatient-10",
        "impatient-mixed",
    ] {
        let report = run(scenario, 2.0, "steadfast-least-loaded", 20);
        let of_quota = report.details.of_quota.expect("a quota");
        assert!(of_quota >= 0.95, "{scenario}: {of_quota}");
    }
}

/// With open breakers, requests failed within a millisecond although an endpoint had recovered. At
/// one request per second, the send rate from before an outage rejected requests after it.
#[test]
fn flapping_pool_serves_requests_with_a_healthy_endpoint() {
    for name in UNHEDGED {
        let policy = policy(name);
        let shares = (1..=8).map(|seed| {
            let report = entry("flapping").at(0.001).run(&*policy, seed);
            report.details.with_healthy_endpoint.expect("troubles")
        });
        let served = shares.sum::<f64>() / 8.0;
        assert!(served >= 0.995, "{name}: {served}");
        let report = run("flapping", 0.01, name, 200);
        let served = report.details.with_healthy_endpoint.expect("troubles");
        assert!(served >= 0.995, "{name} at 10 per second: {served}");
    }
}

/// The requirement is within reach: a policy without breakers and cooldowns comes close to it.
#[test]
fn flapping_endpoints_serve_while_healthy() {
    let report = run("flapping", 0.01, "least-outstanding", 300);
    let served = report.details.with_healthy_endpoint.expect("troubles");
    assert!(served > 0.9 && report.success < 0.8, "{served} {report:?}");
}
