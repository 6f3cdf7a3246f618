//! The limit of one key leaves the other keys unchanged.

use std::time::Duration;

use steadfast_balance::{EndpointBalanceLayer, Limits};
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Class, LimitKey, Scope, Trail, Verdict};
use tokio::time::{Instant, advance};

use super::{get_model, key_status, refuse_limited};
use crate::support::{
    Events, Net, SECOND, STRATEGIES, answer, balancer, endpoint, get, ok, pool, refusal,
    send_for_status, spend_tests, status_of, with_headers,
};

/// With two endpoints and one model that is limited for a minute, each request for another model
/// got a `503` for a minute. Users of several models with one credential were affected.
#[tokio::test(start_paused = true)]
async fn limited_model_leaves_other_model_served() {
    for strategy in STRATEGIES {
        let net = Net::new();
        refuse_limited(&net, ["a", "b"], || refusal("60").into());
        let builder = pool(&["a", "b"])
            .strategy(strategy)
            .max_wait(Duration::ZERO);
        let (service, handle) = balancer(builder, &net);
        for _ in 0..2 {
            assert_eq!(send_for_status(&service, get_model("limited")).await, 429);
        }
        assert_eq!(send_for_status(&service, get_model("limited")).await, 0);
        for n in 0..20 {
            let status = send_for_status(&service, get_model("other")).await;
            assert_eq!(status, 200, "request {n} with {strategy:?}");
        }
        for name in ["a", "b"] {
            let status = status_of(&handle, name);
            assert_eq!((status.admissible, status.cooling), (true, None));
            let limited = key_status(&handle, name, "limited").expect("it was used");
            assert_eq!(limited.cooling, Some(60 * SECOND), "{name}");
            assert!(limited.cooling_reason.is_some() && !limited.per_credential);
        }
        advance(60 * SECOND).await;
        assert_eq!(send_for_status(&service, get_model("limited")).await, 429);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_without_key_share_one_state() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("60") } else { ok() });
    let (service, handle) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    assert_eq!(send_for_status(&service, get()).await, 0);
    let status = status_of(&handle, "a");
    assert_eq!((status.cooling, status.keys.len()), (Some(60 * SECOND), 0));
    // The state of all requests also applies to requests with a key.
    assert_eq!(send_for_status(&service, get_model("other")).await, 0);
}

#[tokio::test(start_paused = true)]
async fn shared_limits_ignore_keys() {
    let net = Net::new();
    refuse_limited(&net, ["a"], || refusal("60").into());
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").limits(Limits::Shared))
        .max_wait(Duration::ZERO);
    let (service, handle) = balancer(builder, &net);
    assert_eq!(send_for_status(&service, get_model("limited")).await, 429);
    assert_eq!(send_for_status(&service, get_model("other")).await, 0);
    let status = status_of(&handle, "a");
    assert_eq!((status.cooling, status.keys.len()), (Some(60 * SECOND), 0));
    let key = LimitKey::new("other");
    handle.cool_key("a", &key, Duration::ZERO).unwrap();
    assert_eq!(send_for_status(&service, get_model("other")).await, 200);
}

/// A spent quota and an account-wide limit concern every model of the endpoint's credential.
#[tokio::test(start_paused = true)]
async fn verdict_for_endpoint_limits_all_keys() {
    let account = Verdict::new(Class::RateLimited)
        .with_scope(Scope::Endpoint)
        .with_hint(Some(60 * SECOND));
    let quota = Verdict::new(Class::QuotaExhausted);
    let model = Verdict::new(Class::QuotaExhausted).with_scope(Scope::Key);
    for (verdict, expected) in [(account, 0), (quota, 0), (model, 200)] {
        let net = Net::new();
        refuse_limited(&net, ["a"], move || {
            let mut response = answer(429);
            response.extensions_mut().insert(verdict);
            response.into()
        });
        let (service, handle) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
        assert_eq!(send_for_status(&service, get_model("limited")).await, 429);
        assert_eq!(status_of(&handle, "a").admissible, expected == 200);
        // A request without another endpoint tests a bench.
        net.on("a", move |_| {
            let mut response = answer(429);
            response.extensions_mut().insert(verdict);
            response
        });
        let tests = spend_tests(&service, &net, "a", || get_model("limited")).await;
        assert_eq!(tests > 0, verdict.class() == Class::QuotaExhausted);
        net.on("a", |_| ok());
        let status = send_for_status(&service, get_model("other")).await;
        assert_eq!(status, expected, "{verdict:?}");
    }
}

/// The breaker judges the endpoint, whatever the model.
#[tokio::test(start_paused = true)]
async fn breaker_is_shared_by_all_keys() {
    let net = Net::new();
    refuse_limited(&net, ["a"], || answer(500).into());
    let (service, _) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
    for _ in 0..7 {
        assert_eq!(send_for_status(&service, get_model("limited")).await, 500);
    }
    assert_eq!(send_for_status(&service, get_model("other")).await, 0);
}

#[tokio::test(start_paused = true)]
async fn quota_in_headers_belongs_to_its_key() {
    let net = Net::new();
    let headers = [
        ("x-ratelimit-limit-requests", "10"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "30s"),
    ];
    refuse_limited(&net, ["a"], move || with_headers(ok(), &headers).into());
    let (service, handle) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
    assert_eq!(send_for_status(&service, get_model("limited")).await, 200);
    // Nothing remains of the first quota, so its key cools before any refusal.
    assert_eq!(send_for_status(&service, get_model("limited")).await, 0);
    assert_eq!(send_for_status(&service, get_model("other")).await, 200);
    let limited = key_status(&handle, "a", "limited").expect("it was used");
    assert_eq!(limited.requests.map(|quota| quota.remaining), Some(0));
    let other = key_status(&handle, "a", "other").expect("it was used");
    assert_eq!(
        (other.requests, status_of(&handle, "a").requests),
        (None, None)
    );
}

#[tokio::test(start_paused = true)]
async fn events_name_the_key() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("1") } else { ok() });
    let events = Events::default();
    let (service, handle) = balancer(pool(&["a"]).observer(events.observer()), &net);
    send_for_status(&service, get_model("limited")).await;
    advance(SECOND).await;
    send_for_status(&service, get_model("limited")).await;
    let key = LimitKey::new("ordered");
    handle.cool_key("a", &key, SECOND).unwrap();
    assert!(handle.cool_key("b", &key, SECOND).is_err());
    let expected = [
        "a/limited cools 1s rate_limited",
        "a/limited is back",
        "a/ordered cools 1s rate_limited",
    ];
    assert_eq!(events.take(), expected);
}

/// The next attempt depends on the limits of the request's own key.
#[tokio::test(start_paused = true)]
async fn next_attempt_waits_for_the_limit_of_its_key() {
    let net = Net::new();
    refuse_limited(&net, ["a"], || refusal("60").into());
    let (service, handle) = balancer(pool(&["a"]).max_wait(Duration::ZERO), &net);
    let key = LimitKey::new("limited");
    handle
        .cool_key("a", &LimitKey::new("other"), 300 * SECOND)
        .unwrap();
    let trail = Trail::new();
    let mut request = get_model("limited");
    request.extensions_mut().insert(trail.clone());
    assert_eq!(send_for_status(&service, request).await, 429);
    assert_eq!(
        trail.last_next(),
        Some(Next::At(Instant::now() + 60 * SECOND))
    );
    handle.cool_key("a", &key, Duration::ZERO).unwrap();
    assert_eq!(send_for_status(&service, get_model("limited")).await, 429);
}
