//! Rejections: the class of the root cause, the true time, and one clause per endpoint.

use std::time::Duration;

use http::Request;
use steadfast_balance::{Credential, Endpoint, EndpointBalance, EndpointBalanceLayer};
use steadfast_core::{BoxError, Class, Classified, Exhausted, LimitKey, Verdict};
use tokio::time::{advance, sleep};

use super::open_breaker;
use crate::support::{
    Body, Client, MS, Net, Reply, SECOND, answer, balancer, connection_refused, endpoint, get, ok,
    pool, refusal, request_only_to, send, send_for_status, spend_tests,
};

/// The rejection of a request: its class, its status, its recovery and its clauses.
async fn rejection(
    service: &EndpointBalance<Client>,
    request: Request<Body>,
) -> (Class, u16, Option<Duration>, String) {
    let error = send(service, request).await.expect_err("no endpoint");
    let error = Exhausted::find(&*error).expect("typed");
    let reasons = error.reasons().expect("the balancer knows them");
    let status = error.status().as_u16();
    let class = error.verdict().class();
    (class, status, error.retry_in(), reasons.to_string())
}

fn late() -> BoxError {
    Classified::new(Verdict::new(Class::Timeout), "https://a.test/?key=secret")
        .with_reason("no first token within 10 s")
        .into()
}

/// Fails every request with this reply, until the pool rejects without an attempt.
async fn rejected_after(reply: fn() -> Reply) -> (Class, u16, Option<Duration>, String) {
    let net = Net::new();
    let own = Credential::bearer("own").expect("valid");
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint("a").api_key(own));
    let (service, _) = balancer(builder, &net);
    net.on("a", move |_| reply());
    loop {
        let before = net.count("a");
        let result = send(&service, get()).await;
        if net.count("a") == before {
            drop(result);
            return rejection(&service, get()).await;
        }
    }
}

/// Only the first caller learned why, and all others got `rate_limited`.
#[tokio::test(start_paused = true)]
async fn caller_after_the_first_gets_reason_of_the_endpoint() {
    type Row = (fn() -> Reply, Class, u16, &'static str);
    let rows: [Row; 7] = [
        (
            || refusal("12").into(),
            Class::RateLimited,
            429,
            "`a` cools for 12 s after a 429",
        ),
        (
            || answer(402).into(),
            Class::QuotaExhausted,
            429,
            "after a 402 (spent quota)",
        ),
        (
            || answer(401).into(),
            Class::Unauthorized,
            401,
            "after a 401 (rejected credential)",
        ),
        (
            || answer(500).into(),
            Class::ServerError,
            503,
            "`a`: a 500, next probe in ",
        ),
        (
            || connection_refused().into(),
            Class::Connect,
            503,
            "`a`: connection refused, next probe in ",
        ),
        (
            || late().into(),
            Class::Timeout,
            503,
            "`a`: no first token within 10 s, next probe in ",
        ),
        (
            || crate::support::with_headers(answer(503), &[("retry-after", "7")]).into(),
            Class::Overloaded,
            503,
            "`a` cools for 7 s after a 503",
        ),
    ];
    for (reply, class, status, clause) in rows {
        let (found, number, retry_in, reasons) = rejected_after(reply).await;
        assert_eq!((found, number), (class, status));
        assert!(reasons.contains(clause), "{reasons}");
        assert!(!reasons.contains("secret"), "{reasons}");
        assert!(retry_in >= Some(SECOND), "{retry_in:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_has_time_left_at_its_instant() {
    let net = Net::new();
    let (service, _) = balancer(pool(&["a"]), &net);
    net.on("a", |_| refusal("60"));
    send_for_status(&service, get()).await;
    advance(20_500 * MS).await;
    let (_, _, retry_in, reasons) = rejection(&service, get()).await;
    assert_eq!(retry_in, Some(39_500 * MS));
    assert_eq!(reasons, "`a` cools for 40 s after a 429", "rounded up");
}

/// The soonest endpoint decides about the time, and the lowest tier about the class.
#[tokio::test(start_paused = true)]
async fn lowest_tier_decides_class_and_soonest_endpoint_decides_time() {
    let net = Net::new();
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("backup").tier(1))
        .endpoint(endpoint("primary"));
    let (service, handle) = balancer(builder, &net);
    net.on("primary", |_| answer(402));
    assert_eq!(send_for_status(&service, get()).await, 402);
    spend_tests(&service, &net, "primary", || request_only_to("primary")).await;
    open_breaker(&service, &handle, &net, "backup").await;

    let (class, status, retry_in, reasons) = rejection(&service, get()).await;
    assert_eq!((class, status), (Class::QuotaExhausted, 429));
    assert_eq!(retry_in, Some(5 * SECOND), "of the backup");
    let (backup, primary) = reasons.split_once("; ").expect("two clauses");
    assert_eq!(backup, "`backup`: connection reset, next probe in 5 s");
    assert!(
        primary.starts_with("`primary` is benched for "),
        "{primary}"
    );
}

/// A caller that learns of the bench of one endpoint gives up, although the other recovers soon.
#[tokio::test(start_paused = true)]
async fn least_persistent_reason_of_a_tier_decides() {
    let net = Net::new();
    let (service, handle) = balancer(pool(&["benched", "cooling", "broken"]), &net);
    net.on("benched", |_| answer(402));
    net.on("cooling", |_| refusal("40"));
    spend_tests(&service, &net, "benched", || request_only_to("benched")).await;
    open_breaker(&service, &handle, &net, "broken").await;
    send_for_status(&service, request_only_to("cooling")).await;
    let (class, _, retry_in, _) = rejection(&service, get()).await;
    assert_eq!((class, retry_in), (Class::RateLimited, Some(5 * SECOND)));

    handle.cool("cooling", Duration::ZERO).expect("known");
    handle.disable("cooling").expect("known");
    let (class, _, _, reasons) = rejection(&service, get()).await;
    assert_eq!(class, Class::Transport, "a failure may end, a bench lasts");
    assert!(reasons.contains("`cooling` is disabled"), "{reasons}");

    let request = request_only_to("benched");
    let (class, _, retry_in, reasons) = rejection(&service, request).await;
    assert_eq!(class, Class::QuotaExhausted);
    assert!(retry_in > Some(30 * SECOND), "of the only permitted one");
    assert!(reasons.contains("`broken` is excluded by the request"));
}

#[tokio::test(start_paused = true)]
async fn pool_out_of_service_has_no_recovery() {
    let net = Net::new();
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    handle.disable("a").expect("known");
    open_breaker(&service, &handle, &net, "b").await;
    handle.drain("b").map(drop).expect("known");
    let (class, status, retry_in, reasons) = rejection(&service, get()).await;
    assert_eq!((class, status), (Class::Overloaded, 503));
    assert_eq!(retry_in, None);
    assert_eq!(reasons, "`a` is disabled; `b` is draining");
}

/// An operator looks for the one endpoint with another reason. A pool may have hundreds of
/// endpoints, so the message has a bound.
#[tokio::test(start_paused = true)]
async fn sentence_names_each_endpoint_of_sixty_four() {
    for (count, more) in [(1, ""), (64, ""), (66, "; 2 more")] {
        let net = Net::new();
        let names: Vec<_> = (0..count).map(|n| format!("e{n}")).collect();
        let endpoints = names
            .iter()
            .map(|name| Endpoint::new(name, "http://a.test").expect("valid"));
        let builder = EndpointBalanceLayer::builder().endpoints(endpoints);
        let (service, handle) = balancer(builder, &net);
        for name in &names {
            handle.cool(name, 30 * SECOND).expect("known");
        }
        let (_, _, _, reasons) = rejection(&service, get()).await;
        let named = names
            .iter()
            .take(64)
            .map(|name| format!("`{name}` cools for 30 s after an order"));
        let all: Vec<_> = named.collect();
        assert_eq!(reasons, all.join("; ") + more);
        assert!(reasons.len() < 4_096, "{}", reasons.len());
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_concerns_limit_key_of_the_request() {
    let net = Net::new();
    let (service, _) = balancer(pool(&["a"]), &net);
    let of_model = |name: &str| {
        let mut request = get();
        request.extensions_mut().insert(LimitKey::new(name));
        request
    };
    net.on("a", |n| match n {
        0 => refusal("60"),
        1 => refusal("20"),
        _ => ok(),
    });
    assert_eq!(send_for_status(&service, of_model("large")).await, 429);
    sleep(SECOND).await;
    assert_eq!(send_for_status(&service, of_model("small")).await, 429);
    let (_, _, retry_in, reasons) = rejection(&service, of_model("large")).await;
    assert_eq!(retry_in, Some(59 * SECOND));
    assert_eq!(reasons, "`a` cools for 59 s after a 429");
    let (_, _, retry_in, _) = rejection(&service, of_model("small")).await;
    assert_eq!(retry_in, Some(20 * SECOND));
    assert_eq!(send_for_status(&service, of_model("other")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn empty_pool_has_no_reasons() {
    let layer = EndpointBalanceLayer::builder()
        .build_empty()
        .expect("valid");
    let service = tower::Layer::layer(&layer, Net::new().client());
    let error = send(&service, get()).await.expect_err("no endpoint");
    let error = Exhausted::find(&*error).expect("typed");
    assert_eq!(error.reasons(), None);
    assert_eq!(error.to_string(), "no endpoint can take the request");
}
