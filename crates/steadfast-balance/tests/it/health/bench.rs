//! Checks that end a bench.

use std::time::Duration;

use steadfast_balance::{CheckOutcome, Credential, WhenExhausted};
use steadfast_core::{Class, LimitKey, Verdict};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::{MINUTE, every_ten_seconds, pool_with_checks};
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    Body, MS, Net, Reply, SECOND, TESTS, answer, endpoint, get, ok, pool, request_only_to,
    send_for_status, spend_tests, status_of,
};

#[tokio::test(start_paused = true)]
async fn consecutive_passed_checks_end_a_quota_bench() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n == 0 { 402 } else { 200 }));
    assert_eq!(setup.status().await, 402);
    // A success, a failure, two successes.
    setup
        .checks
        .on("a", |n| answer(if n == 1 { 500 } else { 200 }));
    let _checks = setup.start(&every_ten_seconds().healthy(2));
    sleep(30 * SECOND - MS).await;
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Passed));
    let is_benched = status_of(&setup.handle, "a").benched;
    assert!(is_benched, "one passed check, then a failed one");

    sleep(2 * MS).await;
    assert_eq!(status_of(&setup.handle, "a").cooling, None);
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.requests.count("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn confirmed_check_may_end_the_next_bench() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n % 2 == 0 { 402 } else { 200 }));
    let _checks = setup.start(&every_ten_seconds());
    for _ in 0..5 {
        assert_eq!(setup.status().await, 402);
        sleep(10 * SECOND).await;
        assert_eq!(setup.status().await, 200);
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn passed_check_ends_a_credential_bench() {
    let own = endpoint("a").api_key(Credential::bearer("own").unwrap());
    let setup = pool_with_checks(pool(&[]).endpoint(own), &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n < 3 { 401 } else { 200 }));
    for _ in 0..3 {
        assert_eq!(setup.status().await, 401);
    }
    assert_eq!(status_of(&setup.handle, "a").cooling, Some(MINUTE));
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(setup.status().await, 200);
}

/// A model that was missing is deployed.
#[tokio::test(start_paused = true)]
async fn passed_check_ends_benches_of_keys() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    let request = |model: &str| {
        let mut request = get();
        request.extensions_mut().insert(LimitKey::new(model));
        request
    };
    setup.requests.on("a", |_| {
        let mut response = answer(404);
        let verdict = Verdict::new(Class::ModelUnavailable);
        response.extensions_mut().insert(verdict);
        response
    });
    let benched = || {
        let keys = status_of(&setup.handle, "a").keys;
        keys.iter().filter(|key| key.benched).count()
    };
    for model in ["x", "y"] {
        assert_eq!(send_for_status(&setup.service, request(model)).await, 404);
    }
    assert_eq!(benched(), 2);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(benched(), 0);
    assert_eq!(send_for_status(&setup.service, request("x")).await, 404);
    sleep(30 * SECOND).await;
    assert_eq!(benched(), 1, "the check does not detect a missing model");
    setup.requests.on("a", |_| ok());
    assert_eq!(send_for_status(&setup.service, request("y")).await, 200);
}

/// The planned recovery of the bench is discarded. The endpoint received four requests per second
/// until the planned end, half an hour later.
#[tokio::test(start_paused = true)]
async fn early_end_of_a_bench_restores_full_traffic() {
    for by_hand in [false, true] {
        let setup = pool_with_checks(pool(&["a"]), &["a"]);
        setup
            .requests
            .on("a", |n| answer(if n == 0 { 402 } else { 200 }));
        assert_eq!(setup.status().await, 402);
        sleep(10 * SECOND).await;
        let _checks = (!by_hand).then(|| setup.start(&every_ten_seconds()));
        if by_hand {
            setup.handle.cool("a", Duration::ZERO).unwrap();
        }
        sleep(MS).await;
        assert_eq!(setup.status().await, 200);
        sleep(3 * SECOND).await;
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(setup.status().await, 200);
        }
        assert!(
            start.elapsed() < SECOND,
            "by hand {by_hand}: {:?}",
            start.elapsed()
        );
    }
}

/// Passed checks from before the bench are no evidence about it.
#[tokio::test(start_paused = true)]
async fn only_checks_during_the_bench_count() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    let _checks = setup.start(&every_ten_seconds().healthy(2));
    sleep(45 * SECOND).await;
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    sleep(10 * SECOND).await;
    assert!(
        status_of(&setup.handle, "a").cooling.is_some(),
        "one success"
    );

    setup.handle.cool("a", Duration::ZERO).unwrap();
    assert_eq!(setup.status().await, 402);
    sleep(10 * SECOND).await;
    assert!(
        status_of(&setup.handle, "a").cooling.is_some(),
        "one success of the next bench"
    );
    sleep(10 * SECOND).await;
    assert_eq!(status_of(&setup.handle, "a").cooling, None);
}

#[tokio::test(start_paused = true)]
async fn check_started_before_the_bench_does_not_end_it() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    setup.checks.on("a", |_| Reply::from(ok()).after(SECOND));
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    setup.handle.cool("a", Duration::ZERO).unwrap();
    assert_eq!(setup.status().await, 402);
    sleep(2 * SECOND).await;
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Passed));
    assert!(status_of(&setup.handle, "a").cooling.is_some());
}

/// The list of models is available although the quota is spent. Each passed check would lead to one
/// more refused request.
#[tokio::test(start_paused = true)]
async fn refusal_after_early_end_disables_checks_for_the_bench() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(setup.status().await, 402, "the check has ended the bench");
    let checked = setup.checks.count("a");
    sleep(2 * MINUTE - SECOND).await;
    assert!(status_of(&setup.handle, "a").benched);
    assert_eq!(setup.checks.count("a"), checked, "no check is sent");

    sleep(2 * SECOND).await;
    setup.requests.on("a", |_| ok());
    assert_eq!(setup.status().await, 200);
    // No refusal is an accident after this time.
    sleep(11 * SECOND).await;
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    assert!(status_of(&setup.handle, "a").benched);
    setup.requests.on("a", |_| ok());
    sleep(10 * SECOND).await;
    assert_eq!(
        setup.status().await,
        200,
        "checks count again in the next bench"
    );
}

/// The refusal followed the planned end of the bench, and not a check.
#[tokio::test(start_paused = true)]
async fn bench_that_expired_too_early_keeps_checks_enabled() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n == 1 { 200 } else { 402 }));
    assert_eq!(setup.status().await, 402);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(setup.status().await, 200, "the request confirms the check");
    sleep(11 * SECOND).await;

    setup.checks.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    assert!(status_of(&setup.handle, "a").benched);
    sleep(MINUTE).await;
    assert_eq!(setup.status().await, 402);
    setup.checks.on("a", |_| ok());
    setup.requests.on("a", |_| ok());
    sleep(10 * SECOND).await;
    assert_eq!(setup.status().await, 200);
}

#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_moves_when_a_check_ends_a_bench() {
    let (requests, checks, gates) = (Net::new(), Net::new(), Gates::default());
    let (service, handle) = gated_balancer(pool(&["b", "a"]), &requests, &gates);
    requests.on("a", |_| ok());
    requests.on("b", |_| answer(402));
    checks.on("b", |_| ok());
    assert_eq!(send_for_status(&service, get()).await, 402);
    spend_tests(&service, &requests, "b", || request_only_to("b")).await;
    requests.on("b", |_| ok());
    gates.set_free_slots("a", 0);
    let waits = tokio::spawn(service.oneshot(get()));
    sleep(SECOND / 2).await;
    assert!(!waits.is_finished());
    let _checks = every_ten_seconds()
        .start::<_, Body, _>(&handle, checks.client())
        .unwrap();
    sleep(MS).await;
    assert!(waits.is_finished());
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!(requests.count("a"), 0);
}

#[tokio::test(start_paused = true)]
async fn waiter_is_served_when_a_check_ends_a_bench() {
    let builder = pool(&["a"])
        .when_exhausted(WhenExhausted::Wait)
        .max_wait(60 * MINUTE);
    let setup = pool_with_checks(builder, &["a"]);
    setup.requests.on("a", |_| answer(402));
    setup
        .checks
        .on("a", |n| answer(if n < 2 { 402 } else { 200 }));
    assert_eq!(setup.status().await, 402);
    for _ in 0..TESTS {
        assert_eq!(setup.status().await, 402);
    }
    setup.requests.on("a", |_| ok());
    // Before the request tests the bench itself.
    let _checks = setup.start(&every_ten_seconds().interval(SECOND / 4));
    let start = Instant::now();
    assert_eq!(setup.status().await, 200);
    assert_eq!(start.elapsed(), SECOND / 2);
}
