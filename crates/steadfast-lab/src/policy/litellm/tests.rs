//! The rules of the cooldown and of the retry, as LiteLLM publishes them.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rules(deployments: usize, attempts: u32) -> LiteLlm {
    LiteLlm {
        attempts,
        weights: vec![1.0; deployments],
        deployments: vec![Deployment::default(); deployments],
        rng: Rng::with_seed(1),
    }
}

fn end(kind: Kind, hint: Option<u64>) -> End {
    End {
        kind,
        hint: hint.map(Duration::from_secs),
        took: Duration::ZERO,
    }
}

fn after(tried: &[usize], in_vain: u32, first: End) -> Progress {
    Progress {
        id: 1,
        tried: tried.to_vec(),
        first: Some(first),
        in_vain,
    }
}

/// `cooldown_handlers.py`: for 5 s (`DEFAULT_COOLDOWN_TIME_SECONDS`), or for the time of the
/// header.
#[test]
fn status_429_cools_deployment() {
    let now = Instant::now();
    let mut rules = rules(2, 3);
    rules.ended(0, end(Kind::Limited, None), now);
    assert_eq!(rules.healthy(now + 4 * SECOND), [1]);
    assert_eq!(rules.healthy(now + 5 * SECOND), [0, 1]);
    rules.ended(1, end(Kind::Limited, Some(30)), now);
    assert_eq!(rules.healthy(now + 29 * SECOND), [0]);
    assert_eq!(rules.healthy(now + 30 * SECOND), [0, 1]);
    rules.ended(0, end(Kind::Limited, Some(0)), now + 30 * SECOND);
    assert_eq!(rules.healthy(now + 30 * SECOND), [0, 1]);
}

/// facts/proxies.md, c.14: a cooldown that every 429 of a burst made longer served 5 to 29 % of the
/// requests. LiteLLM's does not: the first one counts.
#[test]
fn concurrent_refusals_start_one_cooldown() {
    let now = Instant::now();
    let mut rules = rules(2, 3);
    for n in 0..20 {
        rules.ended(0, end(Kind::Limited, Some(2)), now + n * SECOND / 20);
    }
    assert_eq!(rules.healthy(now + 2 * SECOND), [0, 1]);
}

/// BerriAI/litellm#17418: half of the attempts of a minute have to fail, and of five at least.
#[test]
fn many_failures_cool_deployment() {
    let now = Instant::now();
    let failed = end(Kind::Failed, None);
    let mut rules = rules(2, 3);
    for _ in 0..4 {
        rules.ended(0, failed, now);
        assert_eq!(rules.healthy(now), [0, 1]);
    }
    rules.ended(0, failed, now);
    assert_eq!(rules.healthy(now), [1]);

    for _ in 0..9 {
        rules.ended(1, end(Kind::Success, None), now);
    }
    for _ in 0..9 {
        rules.ended(1, failed, now);
        assert_eq!(rules.healthy(now), [1], "half is not more than half");
    }
    rules.ended(1, failed, now);
    assert!(rules.healthy(now).is_empty());
    // After a minute it is counted anew.
    rules.ended(1, failed, now + MINUTE);
    assert_eq!(rules.healthy(now + MINUTE), [0, 1]);
}

/// `SINGLE_DEPLOYMENT_TRAFFIC_FAILURE_THRESHOLD`.
#[test]
fn only_deployment_cools_after_a_thousand_failures() {
    let now = Instant::now();
    let mut rules = rules(1, 3);
    rules.ended(0, end(Kind::Limited, Some(9)), now);
    for _ in 0..998 {
        rules.ended(0, end(Kind::Failed, None), now);
    }
    assert_eq!(rules.healthy(now), [0]);
    rules.ended(0, end(Kind::Failed, None), now);
    assert!(rules.healthy(now).is_empty());
}

/// `_time_to_sleep_before_retry`: 0 if a deployment is healthy. `should_retry_this_error`: no retry
/// if none is healthy after the first failure.
#[test]
fn first_retry_is_immediate_or_absent() {
    let now = Instant::now();
    let mut rules = rules(2, 3);
    let limited = end(Kind::Limited, Some(9));
    rules.ended(0, limited, now);
    let again = rules.again(&after(&[0], 0, limited), limited, now);
    assert_eq!(again, Some(Duration::ZERO));
    assert_eq!(rules.choose(&Progress::default(), now), Some(1));

    rules.ended(1, limited, now);
    assert_eq!(rules.again(&after(&[0], 0, limited), limited, now), None);
    assert_eq!(rules.choose(&Progress::default(), now), None);
    let begun = Progress {
        in_vain: 1,
        ..Progress::default()
    };
    assert_eq!(rules.none_available(&begun), None);
}

/// `_calculate_retry_after`, with the headers of the first failure, and up to 60 s.
#[test]
fn later_retries_sleep_without_untried_endpoint() {
    let now = Instant::now();
    let mut rules = rules(2, 4);
    for deployment in 0..2 {
        rules.ended(deployment, end(Kind::Limited, Some(9)), now);
    }
    let last = end(Kind::Limited, Some(9));
    for (hint, sleep) in [
        (Some(7), 7.0..=7.0),
        (Some(61), 0.375..=0.5),
        (None, 0.375..=0.5),
    ] {
        let request = after(&[0, 1], 0, end(Kind::Limited, hint));
        let wait = rules.again(&request, last, now).expect("a sleep");
        assert!(sleep.contains(&wait.as_secs_f64()), "{hint:?}: {wait:?}");
    }
    let first = end(Kind::Failed, None);
    let wait = rules
        .none_available(&after(&[0, 1], 1, first))
        .expect("a sleep");
    assert!((0.75..=1.0).contains(&wait.as_secs_f64()), "{wait:?}");
    assert_eq!(rules.none_available(&after(&[0, 1], 2, first)), None);
}
