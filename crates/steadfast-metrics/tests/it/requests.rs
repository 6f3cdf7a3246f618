//! The measurements of a layer of requests: exactly one end for each start.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::support::{
    Client, Ledger, TestBody, exhausted, get, next_frame, ok, record, status, trail,
};
use http::Response;
use steadfast_core::{
    Class, Classified, Classify, ClassifyLayer, DefaultClassifier, Exhausted, Head, Verdict,
    classify_fn,
};
use steadfast_metrics::MetricsLayer;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn request_lasts_to_the_end_of_its_body() {
    let (seen, _guard) = record();
    let mut client = Client::new(MetricsLayer::requests());

    let (mut call, respond) = client.call().await;
    assert_pending!(call.poll());
    assert_eq!(
        seen.take(),
        ["requests_in_flight +1", "requests_started_total 1"]
    );

    advance(SECOND).await;
    respond.send_response(ok(TestBody::stream(2)));
    let mut body = assert_ready_ok!(call.poll()).into_body();
    assert_eq!(seen.take(), ["request_head_seconds{outcome=success} [1.0]"]);

    advance(2 * SECOND).await;
    assert_eq!(next_frame(&mut body).await, Some(true));
    assert_eq!(next_frame(&mut body).await, Some(true));
    assert_eq!(seen.take(), [""; 0], "more may come");

    assert_eq!(next_frame(&mut body).await, None);
    let end = [
        "request_attempts [1.0]",
        "request_duration_seconds{outcome=success} [3.0]",
        "requests_in_flight -1",
        "requests_total{outcome=success} 1",
    ];
    assert_eq!(seen.take(), end);
    drop(body);
    assert_eq!(seen.take(), [""; 0], "the request has ended");
}

/// A reader of server-sent events stops at `[DONE]` and never polls again.
#[tokio::test(start_paused = true)]
async fn sized_body_ends_at_its_last_frame() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());

    let mut body = client.serve(ok(TestBody::sized(2))).await.into_body();
    assert_eq!(next_frame(&mut body).await, Some(true));
    assert_eq!(layer.snapshot().in_flight, 1);
    assert_eq!(next_frame(&mut body).await, Some(true));
    assert_eq!(layer.snapshot().in_flight, 0);
    assert_eq!(layer.snapshot().successful, 1);
}

#[tokio::test(start_paused = true)]
async fn empty_body_ends_with_the_head() {
    let (seen, _guard) = record();
    let mut client = Client::new(MetricsLayer::requests());

    let _response = client.serve(status(204, TestBody::sized(0))).await;

    let all = [
        "request_attempts [1.0]",
        "request_duration_seconds{outcome=success} [0.0]",
        "request_head_seconds{outcome=success} [0.0]",
        "requests_started_total 1",
        "requests_total{outcome=success} 1",
    ];
    assert_eq!(seen.take(), all);
}

#[tokio::test(start_paused = true)]
async fn dropped_body_has_the_class_of_the_head() {
    for (code, outcome, frames) in [
        (200, "success", 0),
        (200, "success", 1),
        (429, "rate_limited", 0),
        (500, "server_error", 1),
    ] {
        let (seen, _guard) = record();
        let mut client = Client::new(MetricsLayer::requests());
        let response = status(code, TestBody::stream(2));
        let mut body = client.serve(response).await.into_body();
        for _ in 0..frames {
            next_frame(&mut body).await;
        }
        seen.take();

        advance(SECOND).await;
        drop(body);
        let end = [
            "request_attempts [1.0]".to_owned(),
            format!("request_duration_seconds{{outcome={outcome}}} [1.0]"),
            "requests_in_flight -1".to_owned(),
            format!("requests_total{{outcome={outcome}}} 1"),
        ];
        assert_eq!(seen.take(), end);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_response_lasts_to_the_end_of_its_body() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());

    let response = client.serve(status(429, TestBody::stream(1))).await;
    assert_eq!(layer.snapshot().in_flight, 1);
    let mut body = response.into_body();
    while next_frame(&mut body).await.is_some() {}

    assert_eq!(layer.snapshot().in_flight, 0);
    assert_eq!(layer.snapshot().rate_limited, 1);
}

#[tokio::test(start_paused = true)]
async fn broken_body_after_a_success_head_is_a_failure() {
    let (seen, _guard) = record();
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    let idle = Classified::new(Verdict::new(Class::Timeout), "idle");
    for response in [ok(TestBody::broken("reset")), ok(TestBody::broken(idle))] {
        let mut body = client.serve(response).await.into_body();
        assert_eq!(next_frame(&mut body).await, Some(true));
        assert_eq!(next_frame(&mut body).await, Some(false));
    }

    assert_eq!(layer.snapshot().other_errors, 2);
    assert_eq!(layer.snapshot().successful, 0);
    let all = [
        "request_attempts [1.0, 1.0]",
        "request_duration_seconds{outcome=timeout} [0.0]",
        "request_duration_seconds{outcome=transport} [0.0]",
        "request_head_seconds{outcome=success} [0.0, 0.0]",
        "requests_started_total 2",
        "requests_total{outcome=timeout} 1",
        "requests_total{outcome=transport} 1",
    ];
    assert_eq!(seen.take(), all);
}

/// If only responses ended a request, ten errors and ten cancelled requests would leave the gauge
/// at 20 and have no duration.
#[tokio::test(start_paused = true)]
async fn errors_and_cancelled_requests_end() {
    let (seen, _guard) = record();
    let mut client = Client::new(MetricsLayer::requests());
    for _ in 0..10 {
        let refused = Classified::new(Verdict::new(Class::Connect), "refused");
        client.fail(refused).await;
        let (mut call, _respond) = client.call().await;
        assert_pending!(call.poll());
        advance(SECOND).await;
        drop(call);
    }

    let cancelled = vec![1.0; 10];
    let failed = vec![0.0; 10];
    let once = vec![1.0; 10];
    let all = [
        format!("request_attempts {once:?}"),
        format!("request_duration_seconds{{outcome=cancelled}} {cancelled:?}"),
        format!("request_duration_seconds{{outcome=connect}} {failed:?}"),
        "requests_started_total 20".to_owned(),
        "requests_total{outcome=cancelled} 10".to_owned(),
        "requests_total{outcome=connect} 10".to_owned(),
    ];
    assert_eq!(seen.take(), all, "no gauge is left up");
}

#[tokio::test(start_paused = true)]
async fn unpolled_future_ends_as_cancelled() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    let (call, respond) = client.call().await;
    respond.send_response(ok(TestBody::sized(1)));
    assert_eq!(layer.snapshot().in_flight, 1);

    drop(call);
    let snapshot = layer.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.cancelled), (0, 1));
    assert_eq!(snapshot.attempts, 0);
}

/// An inner service may panic in `call`, after the start was counted.
#[test]
fn panic_of_the_inner_service_leaves_nothing_in_flight() {
    let layer = MetricsLayer::requests();
    let mut service = layer.layer(service_fn(|request: http::Request<()>| {
        assert_ne!(request.uri().path(), "/", "no route");
        std::future::ready(Ok::<_, Infallible>(ok(TestBody::default())))
    }));
    let call = AssertUnwindSafe(|| service.call(get()));
    assert!(catch_unwind(call).is_err());

    let snapshot = layer.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.cancelled), (0, 1));
}

#[tokio::test]
async fn verdict_in_the_extensions_overrides_the_status() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    let mut response = status(429, TestBody::sized(0));
    response
        .extensions_mut()
        .insert(Verdict::new(Class::ContentPolicy));
    client.serve(response).await;
    assert_eq!(layer.snapshot().rate_limited, 0);
    assert_eq!(layer.snapshot().other_errors, 1);
}

#[tokio::test]
async fn classify_layer_decides_on_heads_and_errors() {
    let (seen, _guard) = record();
    let classifier = classify_fn(|outcome: Result<Head<'_>, _>| match outcome {
        Ok(head) if head.status() == 404 => Verdict::SUCCESS,
        Err(error) if Exhausted::find(error).is_some() => Verdict::new(Class::Overloaded),
        other => DefaultClassifier.classify(other),
    });
    let layer = MetricsLayer::requests();
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(ClassifyLayer::new(classifier))
        .into_inner();
    let (mut service, mut handle) = mock::spawn_layer(stack);
    for n in 0..2 {
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(get()));
        let (_, respond) = handle.next_request().await.expect("a request");
        match n {
            0 => respond.send_response(status(404, TestBody::sized(0))),
            _ => respond.send_error(exhausted(&[])),
        }
        let _ = call.poll();
    }
    let lines = seen.take();
    assert!(lines.contains(&"requests_total{outcome=success} 1".to_owned()));
    assert!(lines.contains(&"requests_total{outcome=overloaded} 1".to_owned()));
    assert_eq!(layer.snapshot().success_rate(), 0.5);
}

#[tokio::test(start_paused = true)]
async fn attempts_and_failovers_come_from_the_trail() {
    let (seen, _guard) = record();
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    let mut response = ok(TestBody::stream(1));
    response
        .extensions_mut()
        .insert(trail(&["a", "a", "b", "c"]));
    let response = client.serve(response).await;
    assert_eq!(layer.snapshot().attempts, 0, "counted when it ends");
    seen.take();

    drop(response);
    let end = [
        "request_attempts [4.0]",
        "request_duration_seconds{outcome=success} [0.0]",
        "request_failovers_total 2",
        "requests_in_flight -1",
        "requests_total{outcome=success} 1",
    ];
    assert_eq!(seen.take(), end);
    assert_eq!(
        (layer.snapshot().attempts, layer.snapshot().failovers),
        (4, 2)
    );
}

#[tokio::test]
async fn attempts_of_an_exhausted_request_come_from_its_error() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    let mut expected = (0, 0);
    for (error, attempts, failovers) in [
        (exhausted(&["a", "b"]).into(), 2, 1),
        (
            std::io::Error::other(exhausted(&["a", "b", "b"])).into(),
            3,
            1,
        ),
        (exhausted(&[]).into(), 0, 0),
        (steadfast_core::BoxError::from("reset"), 1, 0),
    ] {
        client.fail(error).await;
        expected = (expected.0 + attempts, expected.1 + failovers);
        let snapshot = layer.snapshot();
        assert_eq!((snapshot.attempts, snapshot.failovers), expected);
    }
}

#[tokio::test]
async fn exhausted_request_has_the_outcome_of_its_verdict() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    client.fail(exhausted(&[])).await;
    assert_eq!(layer.snapshot().rate_limited, 1);
}

#[tokio::test]
async fn unboxed_error_is_classified() {
    let layer = MetricsLayer::requests();
    let service = layer.layer(service_fn(|_: http::Request<()>| async {
        let refused = Verdict::new(Class::RateLimited);
        Err::<Response<TestBody>, _>(Classified::new(refused, "limited"))
    }));
    service.oneshot(get()).await.expect_err("limited");
    assert_eq!(layer.snapshot().attempts, 1);
    assert_eq!(layer.snapshot().rate_limited, 1);
}

/// A look-up in the recorder costs allocations and often a lock.
#[tokio::test]
async fn series_are_looked_up_once() {
    let ledger = Ledger::default();
    let _guard = metrics::set_default_local_recorder(&ledger);
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    let mut other = Client::new(layer);
    client.serve(ok(TestBody::sized(0))).await;
    let first = ledger.look_ups();
    assert_eq!(first, 7);

    for _ in 0..100 {
        client.serve(ok(TestBody::sized(0))).await;
        other.serve(ok(TestBody::sized(0))).await;
    }
    assert_eq!(ledger.look_ups(), first);

    client.serve(status(429, TestBody::sized(0))).await;
    assert_eq!(
        ledger.look_ups(),
        first + 3,
        "the series of another outcome"
    );
}

#[tokio::test]
async fn recorder_after_the_first_request_gets_no_values() {
    let layer = MetricsLayer::requests();
    let mut client = Client::new(layer.clone());
    client.serve(ok(TestBody::sized(0))).await;

    let (seen, _guard) = record();
    client.serve(ok(TestBody::sized(0))).await;
    assert_eq!(seen.take(), [""; 0]);
    assert_eq!(layer.snapshot().successful, 2, "kept without a recorder");
}

#[tokio::test]
async fn services_and_clones_of_a_layer_share_numbers() {
    let layer = MetricsLayer::new();
    let stranger = MetricsLayer::new();
    for layer in [&layer, &layer, &layer.clone(), &stranger] {
        let client = Client::new(layer.clone());
        let mut clone = Client {
            service: client.service.clone(),
            handle: client.handle,
        };
        clone.serve(ok(TestBody::sized(0))).await;
    }
    assert_eq!(layer.snapshot().successful, 3);
    assert_eq!(stranger.snapshot().successful, 1);
}
