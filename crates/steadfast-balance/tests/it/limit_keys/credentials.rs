//! An endpoint that passes credentials on has limits per credential.

use std::time::Duration;

use http::Request;
use steadfast_balance::{Credential, EndpointBalanceLayer};
use steadfast_core::{Class, LimitKey, Scope, Verdict};

use super::get_model;
use crate::support::Sent;
use crate::support::{
    Body, Net, Reply, SECOND, answer, balancer, endpoint, get, ok, refusal, send_for_status,
    status_of,
};

fn get_as(caller: &str) -> Request<Body> {
    let mut request = get();
    let value = caller.parse().expect("a header value");
    request.headers_mut().insert("x-api-key", value);
    request
}

pub(super) fn get_model_as(caller: &str, model: &str) -> Request<Body> {
    let mut request = get_as(caller);
    request.extensions_mut().insert(LimitKey::new(model));
    request
}

/// The servers refuse a greedy caller.
pub(super) fn refuse_greedy(net: &Net, reply: impl Fn() -> Reply + Send + Sync + 'static) {
    net.on_request("a", move |_, sent: &Sent| {
        match sent.headers.get("x-api-key") {
            Some(caller) if caller == "greedy" => reply(),
            _ => Reply::from(ok()),
        }
    });
}

fn builder(endpoint: steadfast_balance::Endpoint) -> steadfast_balance::EndpointBalanceBuilder {
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint);
    builder.max_wait(Duration::ZERO)
}

/// A greedy caller beside a modest caller: 766 of 1,200 requests of the modest one failed.
#[tokio::test(start_paused = true)]
async fn limit_of_one_caller_leaves_other_callers_served() {
    let net = Net::new();
    refuse_greedy(&net, || refusal("60").into());
    let (service, handle) = balancer(builder(endpoint("a").pass_credentials(true)), &net);
    for request in [get_model_as("greedy", "m"), get_as("greedy")] {
        assert_eq!(send_for_status(&service, request).await, 429);
    }
    for request in [get_model_as("greedy", "m"), get_as("greedy")] {
        assert_eq!(send_for_status(&service, request).await, 0);
    }
    for request in [
        get_as("modest"),
        get_model_as("modest", "m"),
        get_model("m"),
        get(),
    ] {
        assert_eq!(send_for_status(&service, request).await, 200);
    }
    let status = status_of(&handle, "a");
    assert!(
        !format!("{status:?}{handle:?}").contains("greedy"),
        "{status:?}"
    );
    assert!(
        status
            .keys
            .iter()
            .any(|key| key.per_credential && key.cooling.is_some())
    );
}

/// A limit of the account concerns each model of the caller, and no other caller.
#[tokio::test(start_paused = true)]
async fn spent_quota_of_one_caller_concerns_all_its_keys() {
    let account = Verdict::new(Class::RateLimited)
        .with_scope(Scope::Endpoint)
        .with_hint(Some(60 * SECOND));
    for verdict in [account, Verdict::new(Class::QuotaExhausted)] {
        let net = Net::new();
        refuse_greedy(&net, move || {
            let mut response = answer(429);
            response.extensions_mut().insert(verdict);
            response.into()
        });
        let (service, handle) = balancer(builder(endpoint("a").pass_credentials(true)), &net);
        assert_eq!(
            send_for_status(&service, get_model_as("greedy", "m")).await,
            429
        );
        for request in [get_model_as("greedy", "other"), get_as("greedy")] {
            assert_eq!(send_for_status(&service, request).await, 0);
        }
        assert_eq!(
            send_for_status(&service, get_model_as("modest", "m")).await,
            200
        );
        assert!(status_of(&handle, "a").admissible);
        // The account outlives its keys: 70 other callers evict them.
        for n in 0..70 {
            let caller = format!("caller {n}");
            assert_eq!(send_for_status(&service, get_as(&caller)).await, 200);
        }
        assert_eq!(status_of(&handle, "a").keys.len(), 64);
    }
}

/// An overload is independent of the caller.
#[tokio::test(start_paused = true)]
async fn overload_concerns_all_callers() {
    let net = Net::new();
    refuse_greedy(&net, || {
        let overloaded = crate::support::with_headers(answer(503), &[("retry-after", "60")]);
        overloaded.into()
    });
    let (service, _) = balancer(builder(endpoint("a").pass_credentials(true)), &net);
    assert_eq!(send_for_status(&service, get_as("greedy")).await, 503);
    assert_eq!(send_for_status(&service, get_as("modest")).await, 0);
}

/// With a credential of the endpoint, the caller's credential does not matter.
#[tokio::test(start_paused = true)]
async fn own_credential_of_endpoint_has_one_limit() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("60") } else { ok() });
    let own = Credential::bearer("own").unwrap();
    let (service, handle) = balancer(builder(endpoint("a").api_key(own)), &net);
    assert_eq!(send_for_status(&service, get_as("greedy")).await, 429);
    assert_eq!(send_for_status(&service, get_as("modest")).await, 0);
    assert!(status_of(&handle, "a").keys.is_empty());
}
