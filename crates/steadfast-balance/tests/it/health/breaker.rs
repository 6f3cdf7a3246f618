//! Checks of endpoints with a closed, open or half-open breaker.

use steadfast_balance::{CheckOutcome, Endpoint, HealthCheck};
use steadfast_core::BreakerState;
use tokio::time::{Instant, sleep};

use super::{check_times, every_ten_seconds, pool_with_checks};
use crate::support::{MS, Reply, SECOND, answer, endpoint, ok, pool, status_of};

#[tokio::test(start_paused = true)]
async fn three_consecutive_failed_checks_open_the_breaker() {
    let setup = pool_with_checks(pool(&["a", "b"]), &["a", "b"]);
    // Two failures, a success, three failures.
    setup.checks.on("a", |n| match n {
        2 => Reply::from(ok()),
        _ => answer(500).into(),
    });
    let _checks = setup.start(&every_ten_seconds());
    sleep(49 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Closed);
    assert_eq!(
        status_of(&setup.handle, "a").health,
        1.0,
        "checks do not count in the window"
    );
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Failed));
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.requests.count("a"), 1);

    sleep(2 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Open);
    assert_eq!(setup.breaker("b"), BreakerState::Closed);
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.requests.counts(["a", "b"]), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn failed_checks_before_a_trip_do_not_count_after_it() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    // Three failures, three probes that close the breaker, two failures.
    setup
        .checks
        .on("a", |n| answer(if (3..6).contains(&n) { 200 } else { 500 }));
    let _checks = setup.start(&every_ten_seconds());
    sleep(21 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Open);
    sleep(55 * SECOND).await;
    assert_eq!(
        (setup.checks.count("a"), setup.breaker("a")),
        (8, BreakerState::Closed)
    );
    sleep(10 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn passed_probes_reset_failed_checks() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup
        .checks
        .on("a", |n| answer(if (2..5).contains(&n) { 200 } else { 500 }));
    let _checks = setup.start(&every_ten_seconds());
    sleep(11 * SECOND).await;
    setup.open_breaker("a").await;
    sleep(30 * SECOND).await;
    assert_eq!(
        setup.breaker("a"),
        BreakerState::Closed,
        "after three probes"
    );
    sleep(20 * SECOND).await;
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Failed));
    assert_eq!(
        setup.breaker("a"),
        BreakerState::Closed,
        "two consecutive failures"
    );
    sleep(10 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Open);
}

/// A breaker that has just closed admits few attempts. Checks must not use them up.
#[tokio::test(start_paused = true)]
async fn checks_take_no_slots_of_a_ramp() {
    let admitted = async |checks: bool| {
        let ramp = Endpoint::default_breaker().jitter(0.0).ramp(100 * SECOND);
        let setup = pool_with_checks(pool(&[]).endpoint(endpoint("a").breaker(ramp)), &["a"]);
        setup.open_breaker("a").await;
        setup.requests.on("a", |_| ok());
        sleep(6 * SECOND).await;
        for _ in 0..3 {
            assert_eq!(setup.status().await, 200);
        }
        let often = HealthCheck::new().jitter(0.0).interval(100 * MS);
        let _checks = checks.then(|| setup.start(&often));
        let before = setup.requests.count("a");
        for _ in 0..400 {
            setup.status().await;
            sleep(50 * MS).await;
        }
        assert_eq!(setup.checks.count("a") > 150, checks);
        setup.requests.count("a") - before
    };
    let (with, without) = (admitted(true).await, admitted(false).await);
    assert!(without > 0 && without < 400, "{without}");
    assert_eq!(with, without);
}

/// During the check, requests have opened the breaker, and their probe succeeds.
#[tokio::test(start_paused = true)]
async fn check_started_before_a_transition_opens_nothing() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.checks.on("a", |_| Reply::never());
    let _checks = setup.start(&every_ten_seconds().timeout(20 * SECOND).unhealthy(1));
    sleep(SECOND).await;
    setup.open_breaker("a").await;
    setup.requests.on("a", |_| ok());
    sleep(6 * SECOND).await;
    assert_eq!(setup.status().await, 200);
    sleep(14 * SECOND).await;
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Failed));
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn check_probes_open_breaker_after_recovery_timeout() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds().interval(2 * SECOND));
    sleep(5 * SECOND - MS).await;
    assert_eq!(check_times(&setup.checks, "a", start), [0.0; 0]);

    sleep(2 * SECOND).await;
    assert_eq!(check_times(&setup.checks, "a", start), [6.0]);
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    sleep(2 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    sleep(2 * SECOND).await;
    assert_eq!(
        setup.breaker("a"),
        BreakerState::Closed,
        "after three successes"
    );
    assert_eq!(
        setup.requests.count("a"),
        7,
        "no request was sent as a probe"
    );
}

#[tokio::test(start_paused = true)]
async fn failed_check_lengthens_the_open_time() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    setup.checks.on("a", |_| answer(500));
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds().interval(SECOND));
    sleep(36 * SECOND).await;
    assert_eq!(check_times(&setup.checks, "a", start), [5.0, 15.0, 35.0]);
}

/// A refusal is no evidence about a broken endpoint, and the slot is free for the next probe.
#[tokio::test(start_paused = true)]
async fn probe_with_unknown_outcome_releases_its_slot() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    setup.requests.on("a", |_| ok());
    setup.checks.on("a", |_| answer(429));
    let _checks = setup.start(&every_ten_seconds().interval(6 * SECOND));
    sleep(7 * SECOND).await;
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Unknown));
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    for _ in 0..2 {
        assert_eq!(setup.status().await, 200);
    }
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.breaker("a"), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn running_check_holds_the_only_probe_slot_for_a_second() {
    for is_dropped in [false, true] {
        let setup = pool_with_checks(pool(&["a"]), &["a"]);
        setup.open_breaker("a").await;
        setup.requests.on("a", |_| ok());
        setup.checks.on("a", |_| Reply::never());
        let mut checks = Some(setup.start(&every_ten_seconds().interval(6 * SECOND)));
        sleep(6 * SECOND + 500 * MS).await;
        assert_eq!(setup.checks.running("a"), 1);
        if is_dropped {
            checks = None;
            sleep(MS).await;
        }
        let start = Instant::now();
        assert_eq!(setup.status().await, 200);
        // A dropped check releases the slot.
        assert_eq!(start.elapsed() < MS, is_dropped, "{:?}", start.elapsed());
        drop(checks);
    }
}
