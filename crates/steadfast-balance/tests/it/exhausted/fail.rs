//! `WhenExhausted::Fail`: the request fails at once.

use std::time::Duration;

use http::StatusCode;
use steadfast_balance::{EndpointBalanceLayer, WhenExhausted};
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{BreakerState, Class, Event, Exhausted, Trail};
use tokio::time::{Instant, sleep, timeout};
use tower::Layer;

use super::open_breaker;
use crate::support::{
    Events, Net, SECOND, answer, balancer, expect_exhausted, get, get_with_trail,
    pool_without_early_probes, refusal, request_only_to, send, send_for_status, status_of,
};

#[tokio::test(start_paused = true)]
async fn exhausted_pool_fails_at_once_with_class_and_recovery() {
    let net = Net::new();
    let events = Events::default();
    let builder = pool_without_early_probes(&["a", "b"]).observer(events.observer());
    let (service, handle) = balancer(builder, &net);
    for name in ["a", "b"] {
        open_breaker(&service, &handle, &net, name).await;
        sleep(SECOND).await;
    }
    events.take();

    // The breakers opened 2 s and 1 s ago, for 5 s.
    let trail = Trail::new();
    let start = Instant::now();
    let error = send(&service, get_with_trail(&trail))
        .await
        .expect_err("broken");
    let error = Exhausted::find(&*error).expect("typed");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(error.verdict().class(), Class::Transport);
    assert_eq!(error.retry_in(), Some(3 * SECOND));
    let response = error.to_response::<()>();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(
        trail.take_next(),
        Some(Next::Never),
        "an open breaker ends retries"
    );
    assert_eq!(events.take(), ["exhausted Some(3s)"]);

    // A cooldown ends by itself, although another endpoint recovers sooner.
    sleep(3 * SECOND).await;
    net.on("b", |_| refusal("9"));
    sleep(SECOND).await;
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 429);
    assert_eq!(send_for_status(&service, request_only_to("a")).await, 0);
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Open);
    let trail = Trail::new();
    let answer = send(&service, get_with_trail(&trail)).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::RateLimited, Some(9 * SECOND))
    );
    let back = Instant::now() + 9 * SECOND;
    assert_eq!(trail.take_next(), Some(Next::At(back)));
}

/// The trail shows the root cause to the caller.
#[tokio::test(start_paused = true)]
async fn exhausted_error_contains_the_trail() {
    let net = Net::new();
    let (service, handle) = balancer(pool_without_early_probes(&["a", "b"]), &net);
    open_breaker(&service, &handle, &net, "b").await;
    net.on("a", |_| answer(500));
    let trail = Trail::new();
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 500);
    trail.set_next(Next::Now);
    let error = send(&service, get_with_trail(&trail))
        .await
        .expect_err("broken");
    let error = Exhausted::find(&*error).expect("typed");
    assert_eq!(error.trail().to_string(), "a: server_error (500)");
}

#[tokio::test(start_paused = true)]
async fn empty_pool_rejects_at_once_in_every_mode() {
    for when in [
        WhenExhausted::Fail,
        WhenExhausted::Wait,
        WhenExhausted::LeastBad,
    ] {
        let events = Events::default();
        let builder = EndpointBalanceLayer::builder()
            .when_exhausted(when)
            .observer(events.observer());
        let layer = builder.build_empty().expect("valid");
        let service = layer.layer(Net::new().client());
        let answer = timeout(SECOND, send(&service, get())).await;
        let answer = answer.expect("the request hangs");
        assert_eq!(
            expect_exhausted(answer),
            (Class::Overloaded, None),
            "{when:?}"
        );
        assert_eq!(
            events.count(|event| matches!(event, Event::Exhausted { .. })),
            1
        );
    }
}
