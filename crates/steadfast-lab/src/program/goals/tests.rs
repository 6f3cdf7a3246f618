use super::sheet::is_ours;
use super::*;
use crate::program::study::Outcome;
use crate::program::study::Study;
use crate::report::{Details, Report};

const POLICIES: [&str; 5] = [
    "retry-alone",
    "steadfast-least-loaded",
    "steadfast-scored",
    "round-robin",
    "tower-p2c-peak-ewma",
];

/// A report that reaches each goal, just so.
fn perfect(study: &Study, policy: &str) -> Report {
    let scenario = &study.scenario;
    let shares = scenario.endpoints.iter();
    let shares: Vec<_> = shares.map(|one| scenario.share_of_rate(one)).collect();
    let robin = policy == "round-robin";
    let (success, attempts, limited) = match (study.entry.name(), study.load) {
        ("outage", _) => (0.999, 9.0, 9.0),
        ("clients", _) => (0.995, 1.17, 9.0),
        ("stragglers", _) => (1.0, 1.05, 0.0),
        (_, OVER) => (0.909, 9.0, 0.05),
        ("burst", _) => (1.0, 1.4, 9.0),
        ("neighbour", load) => (0.95 / (load / 0.5).max(1.0) + 1e-12, 9.0, 0.06),
        (name, _) if name.starts_with("random") => (0.9, 9.0, 9.0),
        _ => (0.999, 1.06, 0.06),
    };
    let asked = match study.entry.name() {
        "fast-fail" => [vec![0; 30], vec![17], vec![0; 119], vec![99]].concat(),
        // Twelve in any ten seconds after the first one.
        _ => [vec![500], [12, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(3)].concat(),
    };
    let hedged = policy == "steadfast-scored";
    Report {
        scenario: scenario.name.clone(),
        policy: policy.to_owned(),
        load: Some(study.load),
        seed: 1,
        requests: 1,
        success,
        attempts_per_request: attempts,
        rate_limited_per_request: limited,
        p50_s: Some(1.0),
        p99_s: Some(7.0),
        shares: shares.clone(),
        details: Details {
            mean_s: Some(1.0),
            full_s: Some(5.0),
            p999_s: Some(if hedged { 1.5 } else { 10.0 }),
            waited_s: Some(0.5),
            served: shares,
            attempts: vec![asked.clone(), asked],
            steps_p99_s: vec![if robin { 2.0 } else { 1.0 }; 9],
            ..Details::default()
        },
    }
}

/// The scores of a sheet if each policy has a perfect report, after a change of our reports.
pub(crate) fn scores_of(
    (sheet, studies): (Sheet, Vec<Study>),
    names: &[&str],
    perfect: fn(&Study, &str) -> Report,
    change: impl Fn(&Study, &mut Report),
) -> Scores {
    let outcome = |study: Study| {
        let row = |policy: &&str| {
            let mut report = perfect(&study, policy);
            if is_ours(policy) {
                change(&study, &mut report);
            }
            vec![report]
        };
        let rows = names.iter().map(row).collect();
        Outcome { study, rows }
    };
    let outcomes: Vec<_> = studies.into_iter().map(outcome).collect();
    let mut policies = crate::policy::policies();
    policies.retain(|policy| names.contains(&policy.name()));
    Scores::new(sheet, &policies, &outcomes.iter().collect::<Vec<_>>())
}

/// Changes reports of one study only.
pub(crate) fn at<'a>(
    name: &'a str,
    load: f64,
    change: impl Fn(&mut Report) + 'a,
) -> impl Fn(&Study, &mut Report) + 'a {
    move |study, report| {
        if study.entry.name() == name && study.load == load {
            change(report);
        }
    }
}

fn scores(change: impl Fn(&Study, &mut Report)) -> Scores {
    scores_of((SHEET, studies(|_| 1)), &POLICIES, perfect, change)
}

fn missed(change: impl Fn(&Study, &mut Report)) -> Vec<String> {
    let scores = scores(change);
    scores.missed().into_iter().map(str::to_owned).collect()
}

#[test]
fn value_at_bound_reaches_goal() {
    assert!(missed(|_, _| {}).is_empty());
}

#[test]
fn value_beyond_bound_misses_only_its_goal() {
    let little = 1e-6;
    let cases: [(&str, f64, fn(&mut Report, f64), &[&str]); 26] = [
        // What depends on this one has a tolerance, so it is not missed as well.
        (
            "quota",
            0.95,
            |one, by| one.success -= by,
            &["quota at 0.95"],
        ),
        (
            "quota",
            0.95,
            |one, by| one.attempts_per_request += by,
            &["quota at 0.95"],
        ),
        (
            "quota",
            0.95,
            |one, by| one.rate_limited_per_request += by,
            &["quota at 0.95"],
        ),
        (
            "quota",
            OVER,
            |one, by| one.success -= by,
            &["quota at 1.1, an hour"],
        ),
        (
            "quota",
            OVER,
            |one, by| one.rate_limited_per_request += by,
            &["quota at 1.1, an hour"],
        ),
        (
            "quota-no-hint",
            0.95,
            |one, by| one.success -= 1e-4 + by,
            &["without hints, 0.95"],
        ),
        (
            "quota-no-hint",
            OVER,
            |one, by| one.success -= 1e-4 + by,
            &["without hints, 1.1"],
        ),
        (
            "quota-slow",
            0.95,
            |one, by| one.success -= 1e-3 + by,
            &["all slow, 0.95"],
        ),
        (
            "quota-slow",
            OVER,
            |one, by| one.success -= 1e-3 + by,
            &["all slow, 1.1"],
        ),
        (
            "outage",
            0.5,
            |one, by| one.success -= by,
            &["outage at 0.5"],
        ),
        (
            "clients",
            0.95,
            |one, by| one.success -= by,
            &["eight clients at 0.95"],
        ),
        (
            "clients",
            0.95,
            |one, by| one.attempts_per_request += by,
            &["eight clients at 0.95"],
        ),
        (
            "quota",
            0.5,
            |one, _| one.p99_s = Some(7.1),
            &["p99 at 0.5"],
        ),
        ("quota", 0.8, |one, _| one.p99_s = None, &["p99 at 0.8"]),
        // The last of them has an eighth of all quotas.
        (
            "quota",
            0.95,
            |one, by| one.details.served[3] *= 1.05 + by,
            &["shares at 0.95"],
        ),
        (
            "quota",
            OVER,
            |one, by| one.details.served[3] *= 0.95 - by,
            &["shares at 1.1"],
        ),
        (
            "stragglers",
            0.25,
            |one, by| one.attempts_per_request += by,
            &["5 % stragglers"],
        ),
        (
            "ramp",
            1.0,
            |one, by| one.details.steps_p99_s[5] += by,
            &["ramp from 1.0 up"],
        ),
        (
            "random-5",
            0.1,
            |one, by| one.success -= 1e-3 + by,
            &["random 429s, one endpoint"],
        ),
        (
            "random-0.1-of-3-no-hint",
            1.0,
            |one, by| one.details.mean_s = Some(1.5 + by),
            &["random 429s, three endpoints"],
        ),
        (
            "neighbour",
            0.45,
            |one, by| one.success -= by,
            &["neighbour uses half"],
        ),
        (
            "neighbour",
            0.55,
            |one, by| one.rate_limited_per_request += by,
            &["neighbour uses half"],
        ),
        (
            "lifted-15",
            0.1,
            |one, by| one.details.full_s = Some(5.0 + by),
            &["limit lifted"],
        ),
        (
            "lifted-60",
            0.1,
            |one, _| one.details.full_s = None,
            &["limit lifted"],
        ),
        ("burst", 0.5, |one, by| one.success -= by, &["bursts of 60"]),
        (
            "burst",
            0.5,
            |one, by| one.attempts_per_request += by,
            &["bursts of 60"],
        ),
    ];
    for (name, load, worse, goals) in cases {
        assert_eq!(
            missed(at(name, load, |one| worse(one, little))),
            goals,
            "{name} {load}"
        );
    }
}

/// `steadfast-scored` hedges in these reports, and is compared with the other one.
#[test]
fn tail_is_compared_with_unhedged_policy() {
    let longer = at("stragglers", 0.25, |one| {
        if one.policy == "steadfast-scored" {
            one.details.p999_s = Some(1.51);
        }
    });
    assert_eq!(missed(longer), ["5 % stragglers"]);
}

#[test]
fn ramp_below_load_one_has_no_latency_goal() {
    let slow = at("ramp", 1.0, |one| one.details.steps_p99_s[4] = 9.0);
    assert!(missed(slow).is_empty());
    let at_the_end = at("ramp", 1.0, |one| one.details.steps_p99_s[8] = 9.0);
    assert_eq!(missed(at_the_end), ["ramp from 1.0 up"]);
}

#[test]
fn attempts_count_in_trouble_after_first_second() {
    // The second endpoint is the one that fails.
    let more = |second: usize| {
        at("fast-fail", 0.5, move |one| {
            one.details.attempts[1][second] += 1;
        })
    };
    assert!(missed(more(29)).is_empty());
    assert_eq!(missed(more(30)), ["fails fast for 120 s"]);
    assert_eq!(missed(more(149)), ["fails fast for 120 s"]);
    assert!(missed(more(150)).is_empty());

    for (name, load, goal) in [
        ("refusing", 0.001, "always 429, alone"),
        ("refusing", 1.0, "always 429, alone"),
        ("refusing-herd", 0.1, "always 429, alone"),
        ("refusing-beside", 0.01, "always 429, beside"),
    ] {
        let more = |second: usize| at(name, load, move |one| one.details.attempts[0][second] += 1);
        assert!(missed(more(0)).is_empty(), "{name}");
        assert_eq!(missed(more(1)), [goal], "{name}");
        assert_eq!(missed(more(30)), [goal], "{name}");
    }
}

#[test]
fn missed_goal_is_marked_and_reached_goals_are_counted() {
    let only = at("quota", 0.95, |one| {
        if one.policy == "steadfast-scored" {
            one.success = 0.9;
        }
    });
    let text = scores(only).chapters();
    let row = |name: &str| {
        let found = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name}")));
        found.expect("a row").to_owned()
    };
    assert!(row("quota at 0.95").contains(" **no:** 90.00 %, 1.060, 0.060, waited 0.50 s |"));
    assert!(
        text.contains("Of 22 goals, 22 are reached by one of ours at least."),
        "{text}"
    );
    assert!(
        text.contains("`steadfast-least-loaded` 21, `steadfast-scored` 21."),
        "{text}"
    );
    let page = scores(|_, _| {}).page("the command");
    assert!(!page.text.contains("{c"), "{}", page.text);
}

#[test]
fn goal_without_reaching_policy_fails_run() {
    assert!(scores(|_, _| {}).verdict().is_ok());
    let none = scores(at("outage", 0.5, |one| one.success = 0.5));
    let failure = none.verdict().expect_err("a miss").to_string();
    assert_eq!(
        failure,
        "none of ours reaches these of 22 goals: outage at 0.5"
    );
}

#[test]
fn best_other_policy_reaches_goal_or_comes_closest() {
    let measure = |holds, rank| Measure {
        text: String::new(),
        holds,
        rank,
    };
    assert!(measure(true, 0.0).beats(&measure(false, 1.0)));
    assert!(!measure(false, 1.0).beats(&measure(true, 0.0)));
    assert!(measure(false, 1.0).beats(&measure(false, 0.5)));
    assert!(
        !measure(true, 0.5).beats(&measure(true, 0.5)),
        "the first of equals"
    );
}
