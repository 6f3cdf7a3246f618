use super::*;
use crate::program::goals::tests::{at, scores_of};
use crate::report::{CallerReport, Details, Rejections, Report};

const POLICIES: [&str; 4] = [
    "steadfast-least-loaded",
    "steadfast-hedged",
    "round-robin",
    "retry-alone",
];

/// A report that reaches each goal, just so.
fn perfect(study: &Study, policy: &str) -> Report {
    let name = study.entry.name();
    let (success, p50, p99) = match (name, study.load) {
        ("short", 0.8) => (1.0, 0.02, 0.1),
        ("short", 0.95) => (0.995, 0.05, 1.0),
        ("short", _) => (0.62, 1.0, 25.0),
        _ => (1.0, 1.0, 1.0),
    };
    let callers = study.scenario.callers.iter().map(|caller| CallerReport {
        name: caller.sender.name,
        requests: 100,
        attempts_per_request: 1.0,
        of_fair_share: 0.99,
        ..CallerReport::default()
    });
    // Twelve in any ten seconds after the first one.
    let asked = [vec![500], [12, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(3)].concat();
    Report {
        scenario: study.scenario.name.clone(),
        policy: policy.to_owned(),
        load: Some(study.load),
        seed: 1,
        requests: 100,
        success,
        attempts_per_request: 1.01,
        rate_limited_per_request: 0.06,
        p50_s: Some(p50),
        p99_s: Some(p99),
        shares: vec![1.0 / 3.0; study.scenario.endpoints.len()],
        details: Details {
            callers: callers.collect(),
            of_quota: Some(0.95),
            rejections: Rejections {
                share: 0.1,
                p99_s: Some(1.0),
                hint_s: Some(1.0),
                hints_hold: Some(0.99),
                returns_served: None,
            },
            with_healthy_endpoint: Some(0.995),
            ended_max_s: 2.0,
            attempts: vec![asked; 3],
            served: vec![1.0 / 3.0; study.scenario.endpoints.len()],
            ..Details::default()
        },
    }
}

/// The goals that are missed after a change of our reports in one scenario at one load.
fn missed(name: &str, load: f64, change: fn(&mut Report)) -> Vec<String> {
    let input = (SHEET, studies(1));
    let scores = scores_of(input, &POLICIES, perfect, at(name, load, change));
    let page = scores.page("the command").text;
    assert!(page.contains("## models") && !page.contains("{c"), "{page}");
    scores.missed().into_iter().map(str::to_owned).collect()
}

#[test]
fn value_at_bound_reaches_goal() {
    let none: [String; 0] = [];
    assert_eq!(missed("none", 1.0, |_| {}), none);
}

/// The policy without hedges always reaches this goal, so it is missed in a cell only.
#[test]
fn hedge_that_raises_the_median_is_marked() {
    let change = |one: &mut Report| {
        if one.policy == "steadfast-hedged" {
            one.p50_s = Some(0.06);
        }
    };
    let scores = scores_of(
        (SHEET, studies(1)),
        &POLICIES,
        perfect,
        at("short", 0.95, change),
    );
    let page = scores.page("the command").text;
    let rows = page.lines();
    let mut rows = rows.filter(|line| line.starts_with("| short, hedged"));
    // The first row describes the goal.
    let row = rows.nth(1).expect("a row of results");
    let cells: Vec<_> = row.split('|').collect();
    assert!(cells[3].contains("× 1.00") && !cells[3].contains("no:"));
    assert!(cells[4].contains("**no:**"), "{}", cells[4]);
}

#[test]
fn value_beyond_bound_misses_only_its_goal() {
    let cases: [(&str, f64, fn(&mut Report), &str); 24] = [
        (
            "models",
            0.5,
            |one| one.details.callers[0].failed = 1,
            "models: the free one",
        ),
        (
            "models",
            0.25,
            |one| one.details.callers[0].attempts_per_request += 0.01,
            "models: the free one",
        ),
        (
            "models",
            0.25,
            |one| one.details.callers[0].waited_max_s = 0.01,
            "models: the free one",
        ),
        (
            "greedy",
            0.5,
            |one| one.details.callers[0].of_fair_share -= 0.01,
            "greedy callers",
        ),
        (
            "greedy",
            0.8,
            |one| one.details.callers[1].of_fair_share -= 0.01,
            "greedy callers",
        ),
        ("minute", 0.8, |one| one.success -= 1e-6, "minute at 0.8"),
        (
            "minute",
            0.95,
            |one| one.attempts_per_request += 1e-6,
            "minute at 0.95",
        ),
        (
            "impatient-2",
            5.0,
            |one| one.details.of_quota = Some(0.94),
            "patience of 2 s",
        ),
        (
            "impatient-5",
            2.0,
            |one| one.details.rejections.p99_s = Some(1.1),
            "patience of 5 s",
        ),
        (
            "impatient-10",
            1.2,
            |one| one.details.rejections.hints_hold = Some(0.98),
            "patience of 10 s",
        ),
        (
            "impatient-mixed",
            1.2,
            |one| one.details.of_quota = Some(0.0),
            "mixed patience",
        ),
        (
            "forever",
            5.0,
            |one| one.details.ended_max_s = 2.1,
            "limited forever",
        ),
        (
            "forever",
            0.05,
            |one| one.details.attempts[2][11] += 1,
            "limited forever",
        ),
        ("short", 0.8, |one| one.success -= 1e-6, "short at 0.8"),
        (
            "short",
            0.8,
            |one| one.rate_limited_per_request += 1e-6,
            "short at 0.8",
        ),
        ("short", 0.8, |one| one.p99_s = Some(0.11), "short at 0.8"),
        ("short", 0.95, |one| one.p50_s = Some(0.06), "short at 0.95"),
        ("short", 1.6, |one| one.success = 0.61, "short at 1.6"),
        (
            "poison-5-of-2",
            0.05,
            |one| one.details.callers[0].failed = 1,
            "poison, two endpoints",
        ),
        (
            "poison-1-of-3",
            0.001,
            |one| one.details.callers[0].failed = 1,
            "poison, three endpoints",
        ),
        (
            "refused-3",
            0.01,
            |one| one.details.callers[0].failed = 3,
            "refused",
        ),
        (
            "refused-once-5",
            0.01,
            |one| one.details.callers[0].failed = 2,
            "refused, not repeated",
        ),
        (
            "random-50-of-3",
            0.1,
            |one| one.success = 0.96,
            "many random 429s",
        ),
        (
            "flapping",
            0.01,
            |one| one.details.with_healthy_endpoint = Some(0.994),
            "flapping",
        ),
    ];
    for (name, load, worse, goal) in cases {
        assert_eq!(missed(name, load, worse), [goal], "{name} {load}");
    }
}

/// Failures of the caller with bad requests are no misses.
#[test]
fn bad_requests_may_fail() {
    let none: [String; 0] = [];
    let bad = |one: &mut Report| one.details.callers[1].failed = 99;
    assert_eq!(missed("poison-3-of-3", 0.01, bad), none);
    assert_eq!(missed("models", 0.5, bad), none);
}
