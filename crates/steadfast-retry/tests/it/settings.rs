//! The settings of a layer and of a request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, Request};
use steadfast_core::{BoxError, Class, Event, observer_fn};
use steadfast_retry::{ReplayBody, RetryOverride};
use tower::{ServiceBuilder, ServiceExt};

use crate::support::{Body, LayerOneshot, SECOND, answer, layer, limited, request, reset, send};

#[tokio::test(start_paused = true)]
async fn body_above_limit_gets_one_attempt() {
    let layer = layer().replay_limit(4);
    let (outcome, sent) = send(layer, request("GET"), vec![Ok(limited("1"))]).await;
    assert_eq!((outcome.unwrap().status().as_u16(), sent.len()), (429, 1));
}

#[tokio::test(start_paused = true)]
async fn max_attempts_below_2_disables_retries() {
    for attempts in [0, 1] {
        let layer = layer().max_attempts(attempts);
        let (outcome, sent) = send(layer, request("GET"), vec![Ok(limited("1"))]).await;
        let response = outcome.unwrap();
        assert_eq!((response.status().as_u16(), sent.len()), (429, 1));
        assert!(response.extensions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn retry_override_replaces_layer_settings() {
    for (method, given, attempts) in [
        ("GET", RetryOverride::new(), 3),
        ("GET", RetryOverride::never(), 1),
        ("GET", RetryOverride::new().max_attempts(0), 1),
        ("GET", RetryOverride::new().max_attempts(5), 5),
        ("GET", RetryOverride::new().safe(false), 1),
        ("POST", RetryOverride::new().safe(true), 3),
        ("POST", RetryOverride::new(), 1),
        ("GET", RetryOverride::new().max_wait(Duration::ZERO), 1),
        ("GET", RetryOverride::new().max_wait(SECOND / 2), 2),
    ] {
        let mut request = request(method);
        request.extensions_mut().insert(given);
        let answers = (0..5).map(|_| Err(reset())).collect();
        let (_, sent) = send(layer(), request, answers).await;
        assert_eq!(sent.len(), attempts, "{method} {given:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn safe_if_decides_safety() {
    let layer = || layer().safe_if(|head| head.uri.path().ends_with("/search"));
    for (uri, attempts) in [("http://a.test/search", 2), ("http://a.test/orders", 1)] {
        let mut request = request("POST");
        *request.uri_mut() = uri.parse().unwrap();
        let (_, sent) = send(layer(), request, vec![Err(reset()), Ok(answer(200))]).await;
        assert_eq!(sent.len(), attempts, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempt_header_contains_number_of_attempt() {
    let name = HeaderName::from_static("x-attempt");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let client = tower::service_fn(move |request: Request<ReplayBody<Body>>| {
        let number = request.headers().get("x-attempt").cloned();
        log.lock()
            .unwrap()
            .push(number.map(|number| number.to_str().unwrap().to_owned()));
        async { Ok::<_, BoxError>(answer(503)) }
    });
    let inner = layer().prepared_body().attempt_header(name.clone());
    let service = ServiceBuilder::new()
        .layer(layer().attempt_header(name.clone()))
        .layer(inner)
        .service(client.clone());
    service.oneshot(request("GET")).await.unwrap();
    let once = layer().max_attempts(1).attempt_header(name);
    once.layer_oneshot(client.clone(), request("GET"))
        .await
        .unwrap();
    layer()
        .max_attempts(1)
        .layer_oneshot(client, request("GET"))
        .await
        .unwrap();

    let seen = seen.lock().unwrap();
    let seen: Vec<_> = seen.iter().map(|number| number.as_deref()).collect();
    assert_eq!(seen, [Some("1"), Some("2"), Some("3"), Some("1"), None]);
}

#[tokio::test(start_paused = true)]
async fn observer_gets_event_of_each_wait() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let layer = layer().observer(observer_fn(move |event| {
        log.lock().unwrap().push(event.clone());
    }));
    send(
        layer,
        request("GET"),
        vec![Ok(limited("2")), Ok(answer(200))],
    )
    .await
    .0
    .unwrap();
    let wait = 2 * SECOND + SECOND / 2;
    let expected = Event::Retry {
        class: Class::RateLimited,
        attempt: 2,
        wait,
    };
    assert_eq!(*events.lock().unwrap(), [expected]);
}
