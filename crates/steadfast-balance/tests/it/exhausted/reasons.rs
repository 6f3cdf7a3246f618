//! The reason of each cooldown, bench and open breaker, in the status.

use http::StatusCode;
use steadfast_balance::{Credential, EndpointStatus, PoolHandle, Reason};
use steadfast_core::{BreakerState, Class};
use tokio::time::sleep;

use super::{Balancer, open_breaker};
use crate::support::{
    Net, SECOND, answer, balancer, connection_refused, endpoint, get, ok, pool, refusal,
    request_only_to, send_for_status, status_of, with_headers,
};

/// A balancer with one endpoint, after one request.
async fn after<R: Into<crate::support::Reply>>(
    reply: impl Fn() -> R + Send + Sync + 'static,
) -> (Balancer, PoolHandle, Net) {
    let net = Net::new();
    let (service, handle) = balancer(pool(&["a"]), &net);
    net.on("a", move |_| reply());
    send_for_status(&service, get()).await;
    (service, handle, net)
}

fn cooling_reason(status: &EndpointStatus) -> (Class, Option<u16>, String) {
    let reason = status.cooling_reason.clone().expect("a reason");
    let number = reason.status.map(|status| status.as_u16());
    (reason.class, number, reason.to_string())
}

#[tokio::test(start_paused = true)]
async fn status_has_reason_of_cooldown_while_it_lasts() {
    let (_, handle, _) = after(|| refusal("12")).await;
    let status = status_of(&handle, "a");
    let expected = (Class::RateLimited, Some(429), String::from("a 429"));
    assert_eq!(cooling_reason(&status), expected);
    assert!(!status.benched);
    assert_eq!(status.breaker_reason, None);

    sleep(12 * SECOND).await;
    assert_eq!(status_of(&handle, "a").cooling_reason, None);
}

#[tokio::test(start_paused = true)]
async fn status_has_reason_of_bench() {
    let (_, handle, _) = after(|| answer(402)).await;
    let status = status_of(&handle, "a");
    let text = String::from("a 402 (spent quota)");
    let expected = (Class::QuotaExhausted, Some(402), text);
    assert_eq!(cooling_reason(&status), expected);
    assert!(status.benched);

    let net = Net::new();
    let own = Credential::bearer("own").expect("valid");
    let builder = pool(&[]).endpoint(endpoint("a").api_key(own));
    let (service, handle) = balancer(builder, &net);
    net.on("a", |_| answer(401));
    while !status_of(&handle, "a").benched {
        assert_eq!(send_for_status(&service, get()).await, 401);
    }
    let status = status_of(&handle, "a");
    let text = String::from("a 401 (rejected credential)");
    let expected = (Class::Unauthorized, Some(401), text);
    assert_eq!(cooling_reason(&status), expected);
}

#[tokio::test(start_paused = true)]
async fn status_has_reason_of_cooldown_without_refusal() {
    let spent = || {
        let headers = [
            ("x-ratelimit-limit-requests", "1"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "60s"),
        ];
        with_headers(ok(), &headers)
    };
    let (_, handle, _) = after(spent).await;
    let text = String::from("a used-up quota");
    let expected = (Class::RateLimited, None, text);
    assert_eq!(cooling_reason(&status_of(&handle, "a")), expected);

    handle.cool("a", 5 * SECOND).expect("known");
    let expected = (Class::RateLimited, None, String::from("an order"));
    assert_eq!(cooling_reason(&status_of(&handle, "a")), expected);
}

#[tokio::test(start_paused = true)]
async fn status_has_last_failure_of_open_breaker() {
    let net = Net::new();
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    open_breaker(&service, &handle, &net, "a").await;
    let reason = |name| status_of(&handle, name).breaker_reason;
    let described = |reason: Option<Reason>| {
        let reason = reason.expect("a reason");
        (reason.class, reason.status, reason.to_string())
    };
    let expected = (Class::Transport, None, String::from("connection reset"));
    assert_eq!(described(reason("a")), expected);

    // A closed breaker has no reason, although its endpoint failed once.
    net.on("b", |_| answer(500));
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 500);
    assert_eq!(reason("b"), None);

    // A failed probe replaces the reason. A refusal is no failure and does not.
    sleep(5 * SECOND).await;
    net.on("a", |_| connection_refused());
    assert_eq!(send_for_status(&service, request_only_to("a")).await, 0);
    let expected = (Class::Connect, None, String::from("connection refused"));
    assert_eq!(described(reason("a")), expected);
    sleep(10 * SECOND).await;
    net.on("a", |_| refusal("1"));
    assert_eq!(send_for_status(&service, request_only_to("a")).await, 429);
    assert_eq!(described(reason("a")), expected);

    handle.trip("b").expect("known");
    assert_eq!(status_of(&handle, "b").breaker, BreakerState::Open);
    assert_eq!(described(reason("b")).2, "an order");
}

#[tokio::test(start_paused = true)]
async fn status_of_response_is_kept_with_open_breaker() {
    let (service, handle, _) = after(|| answer(503)).await;
    while status_of(&handle, "a").breaker == BreakerState::Closed {
        send_for_status(&service, get()).await;
    }
    let reason = status_of(&handle, "a").breaker_reason.expect("a reason");
    assert_eq!(reason.class, Class::Overloaded);
    assert_eq!(reason.status, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(reason.to_string(), "a 503");
}
