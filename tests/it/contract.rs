//! The tower contract: each layer over the service of the testkit that checks it, under random
//! load.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use stack_tests::local_client;
use steadfast::crates::balance::EndpointBalanceLayer;
use steadfast::crates::edge::AttemptTimeoutLayer;
use steadfast::crates::hedge::Share;
use steadfast::{
    AiStack, CircuitBreaker, CircuitBreakerLayer, ClassifyLayer, DefaultClassifier, Endpoint,
    HedgeLayer, MetricsLayer, RetryOn429Layer,
};
use steadfast_testkit::{Contract, Probe};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt};

const REQUESTS: u64 = 2_000;

/// A client with outcomes that depend on the number in the request: most answers are good and fast,
/// others are refusals, failures, or never arrive.
fn faulty_client<B>() -> impl Service<
    Request<B>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    B: Send + 'static,
{
    tower::service_fn(|request: Request<B>| {
        let path = request.uri().path().rsplit('/').next().unwrap_or_default();
        let n: u64 = path.parse().unwrap_or_default();
        async move {
            sleep(Duration::from_millis(n % 17)).await;
            let status = match n % 11 {
                // Rare, since the learned send rate of a refusing endpoint is low.
                0 if n % 17 == 5 => StatusCode::TOO_MANY_REQUESTS,
                1 => StatusCode::INTERNAL_SERVER_ERROR,
                2 => std::future::pending().await,
                _ => StatusCode::OK,
            };
            let mut response = Response::new(Full::from("body"));
            *response.status_mut() = status;
            // A short cooldown, or few requests would be sent.
            let hint = http::HeaderValue::from_static("1");
            response.headers_mut().insert("retry-after-ms", hint);
            Ok(response)
        }
    })
}

/// Sends [`REQUESTS`] requests through clones of `service`, and drops some of them at random
/// instants.
async fn send_and_drop_requests<S, B>(service: S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    let mut requests = JoinSet::new();
    for n in 0..REQUESTS {
        let service = service.clone();
        requests.spawn(async move {
            sleep(Duration::from_millis(n / 4)).await;
            let request = Request::get(format!("http://upstream.test/{n}"))
                .body(Full::default())
                .expect("a request");
            let patience = Duration::from_millis(7 + n % 40);
            // Dropped at its current await, or with an unread body.
            let _ = timeout(patience, service.oneshot(request)).await;
        });
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    requests.join_all().await;
}

fn assert_contract(probe: &Probe, name: &str) {
    let report = probe.report();
    assert_eq!(report.violations, 0, "{name}");
    assert!(
        report.calls > 0 && report.cancelled > 0,
        "{name}: {report:?}"
    );
    probe.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn random_load_finds_no_violation_in_each_layer() {
    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    send_and_drop_requests(RetryOn429Layer::new().layer(inner)).await;
    assert_contract(&probe, "retry");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    send_and_drop_requests(RetryOn429Layer::new().clone_body().layer(inner)).await;
    assert_contract(&probe, "retry with cloned bodies");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    send_and_drop_requests(CircuitBreakerLayer::new(CircuitBreaker::new()).layer(inner)).await;
    assert_contract(&probe, "breaker");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    send_and_drop_requests(CircuitBreakerLayer::http(CircuitBreaker::new()).layer(inner)).await;
    assert_contract(&probe, "breaker over HTTP");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    send_and_drop_requests(MetricsLayer::requests().layer(inner)).await;
    assert_contract(&probe, "metrics");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    send_and_drop_requests(ClassifyLayer::new(DefaultClassifier).layer(inner)).await;
    assert_contract(&probe, "classify");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    let timeout = AttemptTimeoutLayer::new(Duration::from_millis(10));
    send_and_drop_requests(timeout.layer(inner)).await;
    assert_contract(&probe, "attempt timeout");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    let hedge = HedgeLayer::new()
        .after(Duration::from_millis(5))
        .max_share(Share::ALL);
    send_and_drop_requests(hedge.layer(inner)).await;
    assert_contract(&probe, "hedge");

    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    let balance =
        EndpointBalanceLayer::builder()
            .endpoints(["a", "b", "c"].map(|name| {
                Endpoint::new(name, &format!("http://{name}.test")).expect("an endpoint")
            }))
            .build()
            .expect("a balancer");
    send_and_drop_requests(balance.layer(inner)).await;
    assert_contract(&probe, "balance");
    for status in balance.handle().status() {
        assert_eq!(status.in_flight, 0, "{}", status.name);
    }
}

#[tokio::test(start_paused = true)]
async fn random_load_finds_no_violation_in_stack() {
    let inner = Contract::new(faulty_client()).limit(50);
    let probe = inner.probe();
    let ai =
        AiStack::builder()
            .endpoints(["a", "b", "c"].map(|name| {
                Endpoint::new(name, &format!("http://{name}.test")).expect("an endpoint")
            }))
            .build_on(local_client(inner))
            .expect("a stack");
    send_and_drop_requests(ai.clone()).await;
    assert_contract(&probe, "stack");
    stack_tests::assert_idle(&ai);

    let snapshot = ai.snapshot();
    let parts = [
        snapshot.successful,
        snapshot.rate_limited,
        snapshot.other_errors,
        snapshot.cancelled,
    ];
    assert_eq!(snapshot.total, REQUESTS, "each request ends once");
    assert_eq!(parts.iter().sum::<u64>(), snapshot.total);
}
