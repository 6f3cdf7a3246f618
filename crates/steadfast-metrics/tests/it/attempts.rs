//! The measurements of a layer of attempts: one for each try at one endpoint.

use crate::support::{Client, TestBody, get, next_frame, ok, record, status, trail};
use http::{Request, Response};
use steadfast_core::BoxError;
use steadfast_metrics::MetricsLayer;
use tokio::time::{Duration, advance};
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{Layer, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_series_has_the_name_of_the_endpoint() {
    let (seen, _guard) = record();
    let mut client = Client::new(MetricsLayer::attempts("primary"));

    let (mut call, respond) = client.call().await;
    assert_pending!(call.poll());
    let start = [
        "attempts_in_flight{endpoint=primary} +1",
        "attempts_started_total{endpoint=primary} 1",
    ];
    assert_eq!(seen.take(), start);

    advance(SECOND).await;
    respond.send_response(ok(TestBody::stream(0)));
    let mut body = assert_ready_ok!(call.poll()).into_body();
    let head = ["attempt_head_seconds{endpoint=primary,outcome=success} [1.0]"];
    assert_eq!(seen.take(), head);

    advance(SECOND).await;
    assert_eq!(next_frame(&mut body).await, None);
    let end = [
        "attempt_duration_seconds{endpoint=primary,outcome=success} [2.0]",
        "attempts_in_flight{endpoint=primary} -1",
        "attempts_total{endpoint=primary,outcome=success} 1",
    ];
    assert_eq!(seen.take(), end);
}

/// A retry layer keeps a refusal until it has a better answer, which can take long. A refusal of
/// five milliseconds would be recorded with half a minute.
#[tokio::test(start_paused = true)]
async fn failed_attempt_ends_with_its_head() {
    let (seen, _guard) = record();
    let mut client = Client::new(MetricsLayer::attempts("primary"));
    let (mut call, respond) = client.call().await;
    assert_pending!(call.poll());
    advance(SECOND).await;
    respond.send_response(status(503, TestBody::stream(1)));
    let body = assert_ready_ok!(call.poll()).into_body();
    let all = [
        "attempt_duration_seconds{endpoint=primary,outcome=overloaded} [1.0]",
        "attempt_head_seconds{endpoint=primary,outcome=overloaded} [1.0]",
        "attempts_started_total{endpoint=primary} 1",
        "attempts_total{endpoint=primary,outcome=overloaded} 1",
    ];
    assert_eq!(seen.take(), all);
    advance(SECOND).await;
    drop(body);
    assert_eq!(seen.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn errors_and_cancelled_attempts_end() {
    let (seen, _guard) = record();
    let layer = MetricsLayer::attempts("primary");
    let mut client = Client::new(layer.clone());
    client.fail("reset").await;
    let (call, _respond) = client.call().await;
    advance(SECOND).await;
    drop(call);

    let all = [
        "attempt_duration_seconds{endpoint=primary,outcome=cancelled} [1.0]",
        "attempt_duration_seconds{endpoint=primary,outcome=transport} [0.0]",
        "attempts_started_total{endpoint=primary} 2",
        "attempts_total{endpoint=primary,outcome=cancelled} 1",
        "attempts_total{endpoint=primary,outcome=transport} 1",
    ];
    assert_eq!(seen.take(), all);
    assert_eq!(
        layer.snapshot().attempts,
        1,
        "nothing for the cancelled one"
    );
}

/// An endpoint may be a steadfast stack itself. Its own attempts do not count here.
#[tokio::test]
async fn attempt_with_a_trail_counts_once() {
    let (seen, _guard) = record();
    let layer = MetricsLayer::attempts("primary");
    let mut client = Client::new(layer.clone());
    let mut response = ok(TestBody::sized(0));
    response.extensions_mut().insert(trail(&["x", "y"]));
    client.serve(response).await;

    assert_eq!(
        (layer.snapshot().attempts, layer.snapshot().failovers),
        (1, 0)
    );
    let routes = seen
        .series()
        .into_iter()
        .filter(|series| series.starts_with("request"));
    assert_eq!(routes.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn failover_is_one_request_and_two_attempts() {
    let (seen, _guard) = record();
    let requests = MetricsLayer::requests();
    let limited = MetricsLayer::attempts("a").layer(service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(status(429, TestBody::sized(0)))
    }));
    let idle = MetricsLayer::attempts("b").layer(service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(ok(TestBody::sized(0)))
    }));
    let stack = requests.layer(service_fn(move |_: Request<()>| {
        let (limited, idle) = (limited.clone(), idle.clone());
        async move {
            limited.oneshot(get()).await?;
            let mut response: Response<_> = idle.oneshot(get()).await?;
            response.extensions_mut().insert(trail(&["a", "b"]));
            Ok::<_, BoxError>(response)
        }
    }));
    stack.oneshot(get()).await.expect("an answer");

    let counts: Vec<_> = seen
        .take()
        .into_iter()
        .filter(|line| line.contains("_total"))
        .collect();
    let expected = [
        "attempts_started_total{endpoint=a} 1",
        "attempts_started_total{endpoint=b} 1",
        "attempts_total{endpoint=a,outcome=rate_limited} 1",
        "attempts_total{endpoint=b,outcome=success} 1",
        "request_failovers_total 1",
        "requests_started_total 1",
        "requests_total{outcome=success} 1",
    ];
    assert_eq!(counts, expected);
    assert_eq!(requests.snapshot().success_rate(), 1.0);
}
