//! The request of a check, its client and its outcome.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, StatusCode};
use steadfast_balance::{CheckOutcome, Credential, Endpoint, HealthCheck, Weight};
use steadfast_core::{BoxError, BreakerState, Class, Classified, Verdict};
use tokio::time::{Instant, sleep};
use tower::Layer;

use super::{check_times, every_ten_seconds, pool_with_checks};
use crate::support::body::Ending;
use crate::support::{
    Body, MS, Reply, SECOND, Stream, answer, connection_refused, connection_reset, ok, pool,
    status_of, streamed,
};

#[tokio::test(start_paused = true)]
async fn check_requests_models_with_the_credential_of_the_endpoint() {
    let own = Endpoint::new("a", "http://a.test/v1?api-version=1")
        .unwrap()
        .api_key(Credential::bearer("own").unwrap())
        .header("x-org".parse().unwrap(), "7".parse().unwrap());
    let builder = pool(&["b"]).endpoint(own);
    let setup = pool_with_checks(builder, &["a", "b"]);
    let _checks = setup.start(&every_ten_seconds());
    sleep(MS).await;

    let sent = &setup.checks.sent("a")[0];
    assert_eq!(sent.uri, "http://a.test/v1/models?api-version=1");
    assert_eq!(sent.headers["authorization"], "Bearer own");
    assert_eq!(sent.headers["x-org"], "7");
    let sent = &setup.checks.sent("b")[0];
    assert_eq!(sent.uri, "http://b.test/models");
    assert!(sent.headers.is_empty());
    assert_eq!(setup.check_outcome("a"), Some(CheckOutcome::Passed));
    assert_eq!(status_of(&setup.handle, "a").checked.unwrap().ago, MS);
}

#[tokio::test(start_paused = true)]
async fn configured_path_replaces_models() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    let _checks = setup.start(&every_ten_seconds().path("/health?deep=1"));
    sleep(MS).await;
    assert_eq!(setup.checks.sent("a")[0].uri, "http://a.test/health?deep=1");
}

#[test]
fn invalid_setting_is_rejected_with_its_field() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
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

#[tokio::test(start_paused = true)]
async fn answer_determines_the_outcome() {
    use CheckOutcome::{Failed, Passed, Unknown};
    let strict = every_ten_seconds().expect_status(StatusCode::NO_CONTENT);
    let lost = || Reply::from(streamed(Stream::of(["[1,"]).broken(connection_reset())));
    let endless = || Reply::from(streamed(Stream::of(["[1,"]).end(Ending::Never)));
    let cases: [(fn() -> Reply, CheckOutcome, CheckOutcome); 10] = [
        (|| ok().into(), Passed, Failed),
        (|| answer(204).into(), Passed, Passed),
        (|| answer(500).into(), Failed, Failed),
        (|| answer(404).into(), Unknown, Failed),
        (|| answer(429).into(), Unknown, Unknown),
        (|| answer(401).into(), Unknown, Unknown),
        (|| answer(402).into(), Unknown, Unknown),
        (|| connection_refused().into(), Failed, Failed),
        (lost, Failed, Failed),
        (endless, Failed, Failed),
    ];
    for (n, (reply, found, found_strictly)) in cases.into_iter().enumerate() {
        for (check, expected) in [
            (every_ten_seconds(), found),
            (strict.clone(), found_strictly),
        ] {
            let setup = pool_with_checks(pool(&["a"]), &["a"]);
            setup.checks.on("a", move |_| reply());
            let _checks = setup.start(&check);
            sleep(23 * SECOND).await;
            assert_eq!(setup.check_outcome("a"), Some(expected), "{n}");
            let taken_out = setup.breaker("a") == BreakerState::Open;
            assert_eq!(taken_out, expected == Failed, "{n}");
            assert_eq!(
                status_of(&setup.handle, "a").cooling,
                None,
                "a check starts no cooldown"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn check_beyond_timeout_fails() {
    let setup = pool_with_checks(pool(&["a"]), &["a"]);
    setup.checks.on("a", |_| Reply::never());
    let _checks = setup.start(&every_ten_seconds().unhealthy(1));
    sleep(2 * SECOND - MS).await;
    assert_eq!(
        (setup.check_outcome("a"), setup.checks.running("a")),
        (None, 1)
    );
    assert_eq!(
        status_of(&setup.handle, "a").in_flight,
        0,
        "a check is not in flight"
    );
    sleep(2 * MS).await;
    assert_eq!(
        (setup.check_outcome("a"), setup.checks.running("a")),
        (Some(CheckOutcome::Failed), 0)
    );
    assert_eq!(setup.breaker("a"), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn custom_check_determines_the_outcome() {
    let setup = pool_with_checks(pool(&["a", "b", "c"]), &["a", "b", "c"]);
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
    assert_eq!(setup.check_outcome("a"), None);
    sleep(2 * MS).await;
    let found = ["a", "b", "c"].map(|name| setup.check_outcome(name).unwrap());
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

/// Such a client can use properties of the endpoint, such as its address.
#[tokio::test(start_paused = true)]
async fn start_each_makes_one_client_per_endpoint() {
    let setup = pool_with_checks(pool(&["a", "b"]), &["a", "b"]);
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
    setup
        .handle
        .set_weight("a", Weight::new(2.0).unwrap())
        .unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(*made.lock().unwrap(), ["a", "b"], "once");
    for name in ["a", "b"] {
        let sent = setup.checks.sent(name);
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|sent| sent.headers["x-signed-for"] == name));
    }
}

/// The client has a concurrency limit. The check waits for its readiness, within the timeout.
#[tokio::test(start_paused = true)]
async fn check_waits_for_a_busy_client() {
    let setup = pool_with_checks(pool(&["a", "b"]), &["a", "b"]);
    setup.checks.on("a", |_| Reply::from(ok()).after(SECOND));
    let client = tower::ServiceBuilder::new()
        .concurrency_limit(1)
        .service(setup.checks.client());
    let start = Instant::now();
    let _checks = every_ten_seconds()
        .start::<_, Body, _>(&setup.handle, client)
        .unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(check_times(&setup.checks, "a", start), [0.0]);
    assert_eq!(check_times(&setup.checks, "b", start), [1.0]);
}
