//! What health checks do to endpoints, and what they leave alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, StatusCode};
use steadfast_balance::{
    CheckOutcome, Credential, Endpoint, EndpointBalance, EndpointBalanceBuilder,
};
use steadfast_balance::{HealthCheck, HealthChecks, PoolHandle, WhenExhausted};
use steadfast_core::{BoxError, BreakerState, Class, Classified, Verdict};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use crate::support::body::Ending;
use crate::support::gate::{Gates, gated};
use crate::support::{
    Body, Client, MS, Net, Reply, SECOND, Stream, answer, balance, endpoint, exhausted, get,
    limited, of, ok, pool, refused, reset, send, status, streamed,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Checks at exact times: the first at once, the others every ten seconds.
fn every_ten_seconds() -> HealthCheck {
    HealthCheck::new().jitter(0.0)
}

/// A balancer over servers that answer requests, and checks that other servers answer.
struct Setup {
    requests: Net,
    checks: Net,
    service: EndpointBalance<Client>,
    handle: PoolHandle,
}

fn setup(builder: EndpointBalanceBuilder, names: &[&str]) -> Setup {
    let (requests, checks) = (Net::new(), Net::new());
    for name in names {
        requests.on(name, |_| ok());
        checks.on(name, |_| ok());
    }
    let (service, handle) = balance(builder, &requests);
    Setup {
        requests,
        checks,
        service,
        handle,
    }
}

impl Setup {
    fn start(&self, check: &HealthCheck) -> HealthChecks {
        check
            .start::<_, Body, _>(&self.handle, self.checks.client())
            .expect("valid")
    }

    async fn status(&self) -> u16 {
        status(&self.service, get()).await
    }

    fn finding(&self, name: &str) -> Option<CheckOutcome> {
        of(&self.handle, name)
            .checked
            .map(|checked| checked.finding)
    }

    fn breaker(&self, name: &str) -> BreakerState {
        of(&self.handle, name).breaker
    }

    async fn open_breaker(&self, name: &str) {
        self.requests.on(name, |_| refused());
        for _ in 0..7 {
            self.status().await;
        }
        assert_eq!(self.breaker(name), BreakerState::Open);
    }
}

/// When checks were sent, in seconds since `start`.
fn times(net: &Net, name: &str, start: Instant) -> Vec<f64> {
    let sent = net.sent(name).into_iter();
    sent.map(|sent| (sent.at - start).as_secs_f64()).collect()
}

// ===== what is sent, and when =====

#[tokio::test(start_paused = true)]
async fn a_check_asks_for_the_models_with_the_endpoints_own_credential() {
    let own = Endpoint::new("a", "http://a.test/v1?api-version=1")
        .unwrap()
        .api_key(Credential::bearer("own").unwrap())
        .header("x-org".parse().unwrap(), "7".parse().unwrap());
    let builder = pool(&["b"]).endpoint(own);
    let setup = setup(builder, &["a", "b"]);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;

    let sent = &setup.checks.sent("a")[0];
    assert_eq!(sent.uri, "http://a.test/v1/models?api-version=1");
    assert_eq!(sent.headers["authorization"], "Bearer own");
    assert_eq!(sent.headers["x-org"], "7");
    let sent = &setup.checks.sent("b")[0];
    assert_eq!(sent.uri, "http://b.test/models");
    assert!(sent.headers.is_empty());
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Passed));
    assert_eq!(of(&setup.handle, "a").checked.unwrap().ago, MS);
}

#[tokio::test(start_paused = true)]
async fn another_path_is_asked_for_if_it_is_set() {
    let setup = setup(pool(&["a"]), &["a"]);
    let _checks = setup.start(&every_ten_seconds().path("/health?deep=1"));
    sleep(MS).await;
    assert_eq!(setup.checks.sent("a")[0].uri, "http://a.test/health?deep=1");
}

#[tokio::test(start_paused = true)]
async fn checks_come_at_their_interval() {
    let setup = setup(pool(&["a", "b"]), &["a", "b"]);
    setup.checks.on("b", |_| Reply::never());
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds().timeout(15 * SECOND).unhealthy(100));
    sleep(35 * SECOND).await;
    assert_eq!(times(&setup.checks, "a", start), [0.0, 10.0, 20.0, 30.0]);
    // A slow one is late for itself and for nobody else, and never checked twice at a time.
    assert_eq!(times(&setup.checks, "b", start), [0.0, 15.0, 30.0]);
}

#[tokio::test(start_paused = true)]
async fn the_interval_varies_as_far_as_its_jitter_and_repeats_with_its_seed() {
    let run = async |seed: u64| {
        let setup = setup(pool(&["a"]), &["a"]);
        let start = Instant::now();
        let _checks = setup.start(&HealthCheck::new().jitter(0.5).seed(seed));
        sleep(10 * MINUTE).await;
        times(&setup.checks, "a", start)
    };
    let first = run(1).await;
    assert!((0.0..5.0).contains(&first[0]), "{first:?}");
    let gaps: Vec<f64> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.iter().all(|gap| (5.0..15.01).contains(gap)),
        "{gaps:?}"
    );
    assert!(gaps.iter().any(|gap| *gap < 7.5) && gaps.iter().any(|gap| *gap > 12.5));
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
}

#[test]
fn nonsense_is_refused() {
    let setup = setup(pool(&["a"]), &["a"]);
    for (check, field) in [
        (HealthCheck::new().interval(Duration::ZERO), "interval"),
        (HealthCheck::new().timeout(Duration::ZERO), "timeout"),
        (HealthCheck::new().jitter(1.1), "jitter"),
        (HealthCheck::new().jitter(f64::NAN), "jitter"),
        (HealthCheck::new().healthy(0), "healthy"),
        (HealthCheck::new().unhealthy(0), "unhealthy"),
        (HealthCheck::new().path("models"), "path"),
        (HealthCheck::new().path("/a b"), "path"),
        (HealthCheck::new().path(""), "path"),
        (HealthCheck::new().path("/../health"), "path"),
    ] {
        let started = check.start::<_, Body, _>(&setup.handle, setup.checks.client());
        assert_eq!(started.unwrap_err().field(), field);
    }
}

// ===== at a closed breaker =====

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_taken_out_after_so_many_failures_in_a_row() {
    let setup = setup(pool(&["a", "b"]), &["a", "b"]);
    // Two failures, a success, three failures.
    setup.checks.on("a", |n| match n {
        2 => Reply::from(ok()),
        _ => answer(500).into(),
    });
    let _checks = setup.start(&every_ten_seconds());
    sleep(49 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Closed);
    assert_eq!(
        of(&setup.handle, "a").health,
        1.0,
        "the window is that of requests"
    );
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Failed));
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.requests.count("a"), 1);

    sleep(2 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Open);
    assert_eq!(setup.breaker("b"), BreakerState::Closed);
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.requests.counts(["a", "b"]), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn failures_from_before_a_trip_do_not_count_after_it() {
    let setup = setup(pool(&["a"]), &["a"]);
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
async fn probes_that_pass_come_between_failures() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup
        .checks
        .on("a", |n| answer(if (2..5).contains(&n) { 200 } else { 500 }));
    let _checks = setup.start(&every_ten_seconds());
    sleep(11 * SECOND).await;
    setup.open_breaker("a").await;
    sleep(30 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Closed, "after three");
    sleep(20 * SECOND).await;
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Failed));
    assert_eq!(setup.breaker("a"), BreakerState::Closed, "two in a row");
    sleep(10 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::Open);
}

/// It is not for checks to take what a breaker that has just closed lets through.
#[tokio::test(start_paused = true)]
async fn a_check_leaves_a_ramp_as_it_is() {
    let admitted = async |checks: bool| {
        let ramp = Endpoint::default_breaker().jitter(0.0).ramp(100 * SECOND);
        let setup = setup(pool(&[]).endpoint(endpoint("a").breaker(ramp)), &["a"]);
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

/// While the check ran, requests have opened the breaker and their probes do well.
#[tokio::test(start_paused = true)]
async fn a_check_from_before_a_transition_opens_nothing() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.checks.on("a", |_| Reply::never());
    let _checks = setup.start(&every_ten_seconds().timeout(20 * SECOND).unhealthy(1));
    sleep(SECOND).await;
    setup.open_breaker("a").await;
    setup.requests.on("a", |_| ok());
    sleep(6 * SECOND).await;
    assert_eq!(setup.status().await, 200);
    sleep(14 * SECOND).await;
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Failed));
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn what_fails_and_what_says_nothing() {
    use CheckOutcome::{Failed, Passed, Unknown};
    let strict = every_ten_seconds().expect_status(StatusCode::NO_CONTENT);
    let lost = || Reply::from(streamed(Stream::of(["[1,"]).broken(reset())));
    let endless = || Reply::from(streamed(Stream::of(["[1,"]).end(Ending::Never)));
    let cases: [(fn() -> Reply, CheckOutcome, CheckOutcome); 10] = [
        (|| ok().into(), Passed, Failed),
        (|| answer(204).into(), Passed, Passed),
        (|| answer(500).into(), Failed, Failed),
        (|| answer(404).into(), Unknown, Failed),
        (|| answer(429).into(), Unknown, Unknown),
        (|| answer(401).into(), Unknown, Unknown),
        (|| answer(402).into(), Unknown, Unknown),
        (|| refused().into(), Failed, Failed),
        (lost, Failed, Failed),
        (endless, Failed, Failed),
    ];
    for (n, (reply, found, found_strictly)) in cases.into_iter().enumerate() {
        for (check, expected) in [
            (every_ten_seconds(), found),
            (strict.clone(), found_strictly),
        ] {
            let setup = setup(pool(&["a"]), &["a"]);
            setup.checks.on("a", move |_| reply());
            let _checks = setup.start(&check);
            sleep(23 * SECOND).await;
            assert_eq!(setup.finding("a"), Some(expected), "{n}");
            let taken_out = setup.breaker("a") == BreakerState::Open;
            assert_eq!(taken_out, expected == Failed, "{n}");
            assert_eq!(of(&setup.handle, "a").cooling, None, "a check cools nobody");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_too_long_has_failed() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.checks.on("a", |_| Reply::never());
    let _checks = setup.start(&every_ten_seconds().unhealthy(1));
    sleep(2 * SECOND - MS).await;
    assert_eq!((setup.finding("a"), setup.checks.running("a")), (None, 1));
    assert_eq!(of(&setup.handle, "a").in_flight, 0, "a check is no request");
    sleep(2 * MS).await;
    assert_eq!(
        (setup.finding("a"), setup.checks.running("a")),
        (Some(CheckOutcome::Failed), 0)
    );
    assert_eq!(setup.breaker("a"), BreakerState::Open);
}

// ===== at an open breaker =====

#[tokio::test(start_paused = true)]
async fn a_check_is_a_probe_of_an_open_breaker_and_not_sent_before_its_time() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds().interval(2 * SECOND));
    sleep(5 * SECOND - MS).await;
    assert_eq!(times(&setup.checks, "a", start), [0.0; 0]);

    sleep(2 * SECOND).await;
    assert_eq!(times(&setup.checks, "a", start), [6.0]);
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    sleep(2 * SECOND).await;
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    sleep(2 * SECOND).await;
    assert_eq!(
        setup.breaker("a"),
        BreakerState::Closed,
        "after three successes"
    );
    assert_eq!(setup.requests.count("a"), 7, "no request was risked");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_keeps_the_breaker_open_for_longer() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    setup.checks.on("a", |_| answer(500));
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds().interval(SECOND));
    sleep(36 * SECOND).await;
    assert_eq!(times(&setup.checks, "a", start), [5.0, 15.0, 35.0]);
}

/// A limit says nothing about an endpoint that was broken, and the place is free for the next.
#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_gives_its_place_back() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    setup.requests.on("a", |_| ok());
    setup.checks.on("a", |_| answer(429));
    let _checks = setup.start(&every_ten_seconds().interval(6 * SECOND));
    sleep(7 * SECOND).await;
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Unknown));
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    for _ in 0..2 {
        assert_eq!(setup.status().await, 200);
    }
    assert_eq!(setup.breaker("a"), BreakerState::HalfOpen);
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.breaker("a"), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_check_takes_the_only_place_of_a_half_open_breaker() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.open_breaker("a").await;
    setup.requests.on("a", |_| ok());
    setup.checks.on("a", |_| Reply::never());
    let checks = setup.start(&every_ten_seconds().interval(6 * SECOND));
    sleep(7 * SECOND).await;
    assert_eq!(setup.checks.running("a"), 1);
    assert_eq!(setup.status().await, 0, "it is taken");
    drop(checks);
    sleep(MS).await;
    assert_eq!(
        setup.status().await,
        200,
        "a check that is stopped gives it back"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_no_requests_is_not_checked() {
    let setup = setup(pool(&["a", "b"]), &["a", "b"]);
    setup.handle.disable("a").unwrap();
    let _checks = setup.start(&every_ten_seconds());
    sleep(15 * SECOND).await;
    assert_eq!(
        setup.checks.counts(["a", "b"]),
        [0, 2],
        "neither is one that is disabled"
    );
    setup.handle.enable("a").unwrap();
    sleep(MS).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [1, 2]);
}

// ===== cooldowns and benches =====

#[tokio::test(start_paused = true)]
async fn a_limited_endpoint_is_not_checked_until_its_cooldown_is_over() {
    for by_hand in [false, true] {
        let setup = setup(pool(&["a"]), &["a"]);
        if by_hand {
            // An order counts for more than what there was.
            setup.requests.on("a", |_| answer(402));
            assert_eq!(setup.status().await, 402);
            setup.handle.cool("a", 25 * SECOND).unwrap();
        } else {
            setup.requests.on("a", |_| limited("25"));
            assert_eq!(setup.status().await, 429);
        }
        let start = Instant::now();
        let _checks = setup.start(&every_ten_seconds());
        sleep(31 * SECOND).await;
        assert_eq!(
            times(&setup.checks, "a", start),
            [30.0],
            "by hand: {by_hand}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_brings_back_an_endpoint_whose_quota_was_spent() {
    let setup = setup(pool(&["a"]), &["a"]);
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
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Passed));
    let class = exhausted(send(&setup.service, get()).await).0;
    assert_eq!(class, Class::RateLimited, "not twice in a row");

    sleep(2 * MS).await;
    assert_eq!(of(&setup.handle, "a").cooling, None);
    assert_eq!(setup.status().await, 200);
    assert_eq!(setup.requests.count("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_was_right_about_a_bench_is_believed_again() {
    let setup = setup(pool(&["a"]), &["a"]);
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
async fn a_check_brings_back_an_endpoint_whose_credential_was_rejected() {
    let own = endpoint("a").api_key(Credential::bearer("own").unwrap());
    let setup = setup(pool(&[]).endpoint(own), &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n < 3 { 401 } else { 200 }));
    for _ in 0..3 {
        assert_eq!(setup.status().await, 401);
    }
    assert_eq!(of(&setup.handle, "a").cooling, Some(MINUTE));
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(setup.status().await, 200);
}

/// What was planned is over with it: the endpoint got four requests a second until the end of the
/// half hour.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_brought_back_is_soon_used_as_before() {
    for by_hand in [false, true] {
        let setup = setup(pool(&["a"]), &["a"]);
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

/// The successes of a healthy time say nothing about a bench that began later.
#[tokio::test(start_paused = true)]
async fn only_checks_of_the_same_bench_count() {
    let setup = setup(pool(&["a"]), &["a"]);
    let _checks = setup.start(&every_ten_seconds().healthy(2));
    sleep(45 * SECOND).await;
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    sleep(10 * SECOND).await;
    assert!(of(&setup.handle, "a").cooling.is_some(), "one success");

    setup.handle.cool("a", Duration::ZERO).unwrap();
    assert_eq!(setup.status().await, 402);
    sleep(10 * SECOND).await;
    assert!(
        of(&setup.handle, "a").cooling.is_some(),
        "one success of the next bench"
    );
    sleep(10 * SECOND).await;
    assert_eq!(of(&setup.handle, "a").cooling, None);
}

#[tokio::test(start_paused = true)]
async fn a_check_from_before_a_bench_does_not_end_it() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    setup.checks.on("a", |_| Reply::from(ok()).after(SECOND));
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    setup.handle.cool("a", Duration::ZERO).unwrap();
    assert_eq!(setup.status().await, 402);
    sleep(2 * SECOND).await;
    assert_eq!(setup.finding("a"), Some(CheckOutcome::Passed));
    assert!(of(&setup.handle, "a").cooling.is_some());
}

/// The list of models is there although the quota is spent. Each success would lead to one more
/// request that is refused.
#[tokio::test(start_paused = true)]
async fn a_check_that_was_wrong_about_a_bench_is_not_believed_again() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(setup.status().await, 402, "the check has ended the bench");
    let checked = setup.checks.count("a");
    sleep(29 * MINUTE).await;
    assert_eq!(setup.status().await, 0);
    assert_eq!(setup.checks.count("a"), checked, "nor is it made in vain");

    sleep(2 * MINUTE).await;
    setup.requests.on("a", |_| ok());
    assert_eq!(setup.status().await, 200);
    setup.requests.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    setup.requests.on("a", |_| ok());
    sleep(10 * SECOND).await;
    assert_eq!(
        setup.status().await,
        200,
        "the next bench is another matter"
    );
}

/// It was not the check that was wrong, but the time.
#[tokio::test(start_paused = true)]
async fn a_bench_that_ran_out_too_early_is_no_fault_of_a_check() {
    let setup = setup(pool(&["a"]), &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n == 1 { 200 } else { 402 }));
    assert_eq!(setup.status().await, 402);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;
    assert_eq!(setup.status().await, 200, "the check was right");
    sleep(SECOND).await;

    setup.checks.on("a", |_| answer(402));
    assert_eq!(setup.status().await, 402);
    sleep(30 * MINUTE).await;
    assert_eq!(setup.status().await, 402);
    setup.checks.on("a", |_| ok());
    setup.requests.on("a", |_| ok());
    sleep(10 * SECOND).await;
    assert_eq!(setup.status().await, 200);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_busy_endpoint_is_told_when_a_check_ends_a_bench() {
    let (requests, checks, gates) = (Net::new(), Net::new(), Gates::default());
    let (service, handle) = gated(pool(&["b", "a"]), &requests, &gates);
    requests.on("a", |_| ok());
    requests.on("b", |n| answer(if n == 0 { 402 } else { 200 }));
    checks.on("b", |_| ok());
    assert_eq!(status(&service, get()).await, 402);
    gates.room("a", 0);
    let waits = tokio::spawn(service.oneshot(get()));
    sleep(SECOND).await;
    assert!(!waits.is_finished());
    let _checks = every_ten_seconds()
        .start::<_, Body, _>(&handle, checks.client())
        .unwrap();
    sleep(MS).await;
    assert!(waits.is_finished());
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!(requests.counts(["a", "b"]), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_when_a_check_ends_a_bench() {
    let builder = pool(&["a"])
        .when_exhausted(WhenExhausted::Wait)
        .max_wait(60 * MINUTE);
    let setup = setup(builder, &["a"]);
    setup
        .requests
        .on("a", |n| answer(if n == 0 { 402 } else { 200 }));
    setup
        .checks
        .on("a", |n| answer(if n < 2 { 402 } else { 200 }));
    assert_eq!(setup.status().await, 402);
    let _checks = setup.start(&every_ten_seconds());
    let start = Instant::now();
    assert_eq!(setup.status().await, 200);
    assert_eq!(start.elapsed(), 20 * SECOND);
}

// ===== live changes, and the end =====

#[tokio::test(start_paused = true)]
async fn endpoints_that_come_and_go_are_checked_while_they_are_there() {
    let setup = setup(pool(&["a"]), &["a", "b"]);
    setup.checks.on("a", |_| Reply::never());
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds());
    sleep(SECOND).await;
    assert_eq!(setup.checks.running("a"), 1);
    setup.handle.replace([endpoint("b")]).unwrap();
    sleep(MS).await;
    assert_eq!(setup.checks.running("a"), 0, "what runs there is dropped");
    sleep(30 * SECOND).await;
    assert_eq!(times(&setup.checks, "b", start), [1.0, 11.0, 21.0, 31.0]);
    assert_eq!(setup.checks.count("a"), 1);

    // One that stays keeps its time.
    setup.checks.on("a", |_| ok());
    setup.handle.add(endpoint("a")).unwrap();
    sleep(9 * SECOND).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [2, 4]);
    sleep(SECOND + 5 * MS).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [3, 5]);
}

#[tokio::test(start_paused = true)]
async fn checks_end_when_they_are_dropped() {
    let setup = setup(pool(&["a", "b"]), &["a", "b"]);
    setup.checks.on("a", |_| Reply::never());
    let checks = setup.start(&every_ten_seconds());
    sleep(SECOND).await;
    assert_eq!(
        (setup.checks.running("a"), checks.is_finished()),
        (1, false)
    );
    drop(checks);
    sleep(MS).await;
    assert_eq!(setup.checks.running("a"), 0);
    sleep(MINUTE).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [1, 1]);
}

// ===== own checks =====

#[tokio::test(start_paused = true)]
async fn a_check_may_be_ones_own() {
    let setup = setup(pool(&["a", "b", "c"]), &["a", "b", "c"]);
    let check = |endpoint: &Endpoint| {
        let name = endpoint.name().to_string();
        async move {
            sleep(SECOND).await;
            match &*name {
                "a" => Ok(()),
                "b" => Err(BoxError::from("the disk is full")),
                _ => {
                    let verdict = Verdict::new(Class::RateLimited);
                    Err(Classified::new(verdict, "later").into())
                }
            }
        }
    };
    let checks = every_ten_seconds()
        .start_with(&setup.handle, check)
        .unwrap();
    sleep(SECOND - MS).await;
    assert_eq!(setup.finding("a"), None);
    sleep(2 * MS).await;
    let found = ["a", "b", "c"].map(|name| setup.finding(name).unwrap());
    assert_eq!(
        found,
        [
            CheckOutcome::Passed,
            CheckOutcome::Failed,
            CheckOutcome::Unknown
        ]
    );
    sleep(20 * SECOND).await;
    let breakers = ["a", "b", "c"].map(|name| setup.breaker(name));
    let closed = BreakerState::Closed;
    assert_eq!(breakers, [closed, BreakerState::Open, closed]);
    drop(checks);
}

/// Whatever the layers of an endpoint know of it, such as its address, its checks can know too.
#[tokio::test(start_paused = true)]
async fn each_endpoint_may_have_a_client_of_its_own_for_its_checks() {
    let setup = setup(pool(&["a", "b"]), &["a", "b"]);
    let made = Arc::new(Mutex::new(Vec::new()));
    let (log, client) = (made.clone(), setup.checks.client());
    let make = move |endpoint: &Endpoint| {
        let name = endpoint.name().to_string();
        log.lock().unwrap().push(name.clone());
        let sign = move |mut request: Request<Body>| {
            let name = name.parse().expect("a header");
            request.headers_mut().insert("x-signed-for", name);
            request
        };
        tower::util::MapRequestLayer::new(sign).layer(client.clone())
    };
    let _checks = every_ten_seconds()
        .start_each::<_, _, Body, _>(&setup.handle, make)
        .unwrap();
    sleep(15 * SECOND).await;
    setup.handle.set_weight("a", 2.0).unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(*made.lock().unwrap(), ["a", "b"], "once");
    for name in ["a", "b"] {
        let sent = setup.checks.sent(name);
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|sent| sent.headers["x-signed-for"] == name));
    }
}

/// A check with a client that has limits of its own waits for it, within its timeout.
#[tokio::test(start_paused = true)]
async fn the_client_of_a_check_may_be_busy() {
    let setup = setup(pool(&["a", "b"]), &["a", "b"]);
    setup.checks.on("a", |_| Reply::from(ok()).after(SECOND));
    let client = tower::ServiceBuilder::new()
        .concurrency_limit(1)
        .service(setup.checks.client());
    let start = Instant::now();
    let _checks = every_ten_seconds()
        .start::<_, Body, _>(&setup.handle, client)
        .unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(times(&setup.checks, "a", start), [0.0]);
    assert_eq!(times(&setup.checks, "b", start), [1.0]);
}
