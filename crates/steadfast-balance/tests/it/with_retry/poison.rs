//! Requests that make servers fail, and the breakers of these servers.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use http::{Request, Response};
use steadfast_balance::{PoolHandle, Strategy};
use steadfast_core::{BoxError, BreakerState, Class, Classified, Event, Verdict};
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{
    Body, Events, Http, MS, SECOND, Stream, answer, connection_refused, connection_reset, get, ok,
    pool, refusal, send_for_status, status_of, with_deadline, with_headers,
};

/// The name of the header of a request that makes each server fail.
const BAD: &str = "x-bad";

type Outcome = Result<Response<Stream>, BoxError>;

fn bad() -> Request<Body> {
    bad_after(30)
}

/// A bad request that fails after this time, in milliseconds.
fn bad_after(millis: u64) -> Request<Body> {
    let mut request = get();
    request.headers_mut().insert(BAD, millis.into());
    request
}

/// A retry layer and a balancer over servers that all answer by `serve`. It gets the host
/// of a request, and whether the request is bad.
fn stack(
    names: &[&str],
    strategy: Strategy,
    events: &Events,
    serve: impl Fn(&str, bool) -> Outcome + Send + Sync + 'static,
) -> (impl Http + Send + Sync + 'static, PoolHandle) {
    let builder = pool(names).strategy(strategy).observer(events.observer());
    let layer = builder.build().expect("valid");
    let handle = layer.handle();
    let serve = Arc::new(serve);
    let servers = service_fn(move |request: Request<ReplayBody<Body>>| {
        let serve = serve.clone();
        async move {
            let bad = request.headers().get(BAD);
            let millis = bad.map_or("30", |millis| millis.to_str().expect("a number"));
            sleep(Duration::from_millis(millis.parse().expect("a number"))).await;
            let host = request.uri().host().expect("an absolute URI");
            serve(host, bad.is_some())
        }
    });
    let retry = RetryOn429Layer::new().seed(1);
    (retry.layer(layer.layer(servers)), handle)
}

/// Fails each bad request by `failure`, and serves all others.
fn failing_bad(failure: fn() -> Outcome) -> impl Fn(&str, bool) -> Outcome {
    move |_, is_bad| if is_bad { failure() } else { Ok(ok()) }
}

fn server_error() -> Outcome {
    Ok(answer(500))
}

fn refused() -> Outcome {
    Ok(refusal("1"))
}

fn refused_without_hint() -> Outcome {
    Ok(answer(429))
}

/// An overload without a hint, which a request can cause as well.
fn overloaded() -> Outcome {
    Ok(answer(503))
}

async fn status_of_answer(service: impl Http + Send, request: Request<Body>) -> u16 {
    match service.oneshot(request).await {
        Ok(response) => response.status().as_u16(),
        Err(_) => 0,
    }
}

fn opened(events: &Events) -> usize {
    events.count(|event| {
        matches!(
            event,
            Event::Breaker {
                to: BreakerState::Open,
                ..
            }
        )
    })
}

/// Sends requests at random, `rate` per second for a minute. Returns the number that failed.
async fn send_at_random(
    service: impl Http + Send + 'static,
    request: fn() -> Request<Body>,
    rate: f64,
) -> usize {
    let mut rng = Rng::with_seed(rate as u64);
    let (start, mut at) = (Instant::now(), Duration::ZERO);
    let mut sent = JoinSet::new();
    while at < 60 * SECOND {
        at += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate);
        sleep_until(start + at).await;
        sent.spawn(status_of_answer(service.clone(), request()));
    }
    let statuses = sent.join_all().await;
    statuses.into_iter().filter(|status| *status != 200).count()
}

/// At 3 bad requests per second beside 10 good ones, 84 of 200 good callers received 503, because
/// the breakers of all healthy endpoints opened.
#[tokio::test(start_paused = true)]
async fn bad_requests_fail_no_good_request() {
    let two = &["a", "b"][..];
    for (names, failure) in [
        (two, server_error as fn() -> Outcome),
        (two, overloaded),
        (&["a", "b", "c"], server_error),
        (&["a", "b", "c"], overloaded),
    ] {
        for strategy in [Strategy::Failover, Strategy::LeastLoaded] {
            for (bad_rate, good_rate) in [(1.0, 1.0), (3.0, 10.0), (5.0, 1.0), (5.0, 50.0)] {
                let events = Events::default();
                let (service, _) = stack(names, strategy, &events, failing_bad(failure));
                let bad_ones = tokio::spawn(send_at_random(service.clone(), bad, bad_rate));
                let failed = send_at_random(service, get, good_rate).await;
                let case = format!("{strategy:?} of {names:?}, {bad_rate} beside {good_rate}");
                assert_eq!(
                    (failed, opened(&events)),
                    (0, 0),
                    "{case} {:?}",
                    events.take()
                );
                assert!(bad_ones.await.unwrap() > 40, "{case}");
            }
        }
    }
}

/// Their failures arrive before any of them has failed elsewhere, and open the breaker for a
/// moment.
#[tokio::test(start_paused = true)]
async fn burst_of_bad_requests_leaves_breakers_closed() {
    let timeout = || Err(Classified::new(Verdict::new(Class::Timeout), "late").into());
    for failure in [
        server_error,
        overloaded,
        || Err(connection_reset()),
        timeout,
    ] {
        let events = Events::default();
        let names = &["a", "b", "c"];
        let (service, handle) = stack(names, Strategy::Failover, &events, failing_bad(failure));
        assert_eq!(send_for_status(&service, get()).await, 200);
        let burst: JoinSet<_> = (0..30)
            .map(|_| status_of_answer(service.clone(), bad()))
            .collect();
        assert!(burst.join_all().await.iter().all(|status| *status != 200));
        for status in handle.status() {
            assert_eq!(status.breaker, BreakerState::Closed, "{}", status.name);
            assert_eq!(status.health, 1.0, "{}", status.name);
        }
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
}

/// Both have just served a request, and each request fails at both.
#[tokio::test(start_paused = true)]
async fn endpoints_that_serve_no_request_open() {
    let gaps = [10 * MS, 100 * MS, SECOND, 10 * SECOND];
    let failures: [fn() -> Outcome; 2] = [server_error, overloaded];
    for (gap, failure) in failures
        .into_iter()
        .flat_map(|failure| gaps.map(|gap| (gap, failure)))
    {
        let events = Events::default();
        let names = &["a", "b"];
        let serve = failing_bad(failure);
        let (service, handle) = stack(names, Strategy::RoundRobin, &events, serve);
        for _ in names {
            assert_eq!(send_for_status(&service, get()).await, 200);
        }
        let start = Instant::now();
        let mut sent = 0;
        let is_closed =
            |status: &steadfast_balance::EndpointStatus| status.breaker == BreakerState::Closed;
        while handle.status().iter().any(is_closed) {
            tokio::spawn(status_of_answer(service.clone(), bad()));
            sleep(gap).await;
            sent += 1;
            assert!(
                sent <= 60 || start.elapsed() <= 10 * SECOND + 8 * gap,
                "after {sent}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_broken_endpoint_opens_after_seven_failures() {
    let events = Events::default();
    let serve = |host: &str, _| match host {
        "a.test" => server_error(),
        _ => Ok(ok()),
    };
    let (service, handle) = stack(&["a", "b"], Strategy::Failover, &events, serve);
    for n in 1..=7 {
        assert_eq!(send_for_status(&service, get()).await, 200);
        let is_open = status_of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, n == 7, "{n}");
    }
}

/// A failed connect never depends on the request.
#[tokio::test(start_paused = true)]
async fn failed_connects_count_at_each_endpoint() {
    let events = Events::default();
    let serve = failing_bad(|| Err(connection_refused()));
    let (service, handle) = stack(&["a", "b"], Strategy::Failover, &events, serve);
    assert_eq!(send_for_status(&service, get()).await, 200);
    for _ in 0..7 {
        send_for_status(&service, bad()).await;
    }
    for status in handle.status() {
        assert_eq!(status.breaker, BreakerState::Open, "{}", status.name);
    }
}

/// Different failures are no evidence that the request causes them. Statuses of one class are
/// alike, and an overload with a hint is a limit of its server.
#[tokio::test(start_paused = true)]
async fn different_failures_count_at_each_endpoint() {
    let hinted = || Ok(with_headers(answer(503), &[("retry-after", "1")]));
    let outcomes: [(fn() -> Outcome, fn() -> Outcome, bool); 5] = [
        (server_error, || Err(connection_reset()), true),
        (server_error, overloaded, true),
        (hinted, hinted, true),
        (server_error, || Ok(answer(502)), false),
        (overloaded, || Ok(answer(529)), false),
    ];
    for (n, (first, second, counts)) in outcomes.into_iter().enumerate() {
        let events = Events::default();
        let serve = move |host: &str, is_bad: bool| match host {
            _ if !is_bad => Ok(ok()),
            "a.test" => first(),
            _ => second(),
        };
        let (service, handle) = stack(&["a", "b"], Strategy::Failover, &events, serve);
        assert_eq!(send_for_status(&service, get()).await, 200);
        send_for_status(&service, bad()).await;
        for status in handle.status() {
            assert_eq!(status.health < 1.0, counts, "{n}: {}", status.name);
        }
    }
}

/// The deadline of a caller bounds its answers. An endpoint that answers others is healthy, and an
/// endpoint that answers no request is not.
#[tokio::test(start_paused = true)]
async fn missed_deadlines_count_only_if_no_request_is_served() {
    let late = || Err(Classified::new(Verdict::new(Class::Timeout).neutral(), "late").into());
    for (bound, opens) in [(30, true), (1, false)] {
        for serves in [true, false] {
            let events = Events::default();
            let (service, handle) = stack(&["a"], Strategy::Failover, &events, failing_bad(late));
            assert_eq!(send_for_status(&service, get()).await, 200);
            sleep(9 * SECOND).await;
            for _ in 0..20 {
                sleep(SECOND).await;
                if serves {
                    send_for_status(&service, get()).await;
                }
                send_for_status(&service, bad_after(bound)).await;
            }
            let is_open = status_of(&handle, "a").breaker == BreakerState::Open;
            assert_eq!(
                is_open,
                opens && !serves,
                "{bound} ms, serves others: {serves}"
            );
        }
    }
}

/// The repeats of such a request were the probes of the cooldown that it had begun, so the other
/// requests waited for them.
#[tokio::test(start_paused = true)]
async fn requests_that_are_always_refused_delay_no_good_request() {
    for refuse in [refused, refused_without_hint] {
        let (service, _) = stack(
            &["a", "b"],
            Strategy::LeastLoaded,
            &Events::default(),
            failing_bad(refuse),
        );
        let service = Arc::new(service);
        let mut requests = JoinSet::new();
        // Ten good requests and a bad one per second.
        for number in 0..660 {
            let is_bad = number % 11 == 5;
            let request = if is_bad { bad() } else { get() };
            let request = with_deadline(request, 30 * SECOND);
            let service = service.clone();
            requests.spawn(async move {
                let start = Instant::now();
                let status = send_for_status(&*service, request).await;
                (is_bad, status, start.elapsed())
            });
            sleep(SECOND / 11).await;
        }
        for (is_bad, status, took) in requests.join_all().await {
            assert_eq!(status, if is_bad { 429 } else { 200 });
            assert!(is_bad || took <= SECOND, "{took:?}");
        }
    }
}
