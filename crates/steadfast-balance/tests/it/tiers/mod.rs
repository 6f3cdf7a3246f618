//! The order of tiers, and the settings that keep a request in a lower tier.

mod order;
mod prefer_wait;
mod quick_retry;

use http::Response;
use steadfast_balance::{
    EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer, PoolHandle,
};
use steadfast_core::{BoxError, Trail};
use steadfast_retry::{RetryOn429, RetryOn429Layer};
use tower::Layer;

use crate::support::{Client, Net, balancer, endpoint, ok};

type Balancer = EndpointBalance<Client>;

/// Endpoints `a` and `b` have tier 0, `c` and `d` have tier 1.
fn two_tiers(names: &[&str]) -> EndpointBalanceBuilder {
    let tier = |name: &str| u16::from(matches!(name, "c" | "d"));
    let endpoints = names.iter().map(|name| endpoint(name).tier(tier(name)));
    EndpointBalanceLayer::builder().endpoints(endpoints)
}

/// The same endpoints, with those in tier 1 degraded.
fn degraded_tiers(names: &[&str]) -> EndpointBalanceBuilder {
    let endpoints = names.iter().map(|name| {
        let is_degraded = matches!(*name, "c" | "d");
        endpoint(name)
            .tier(u16::from(is_degraded))
            .degraded(is_degraded)
    });
    EndpointBalanceLayer::builder().endpoints(endpoints)
}

fn retrying_stack(
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (RetryOn429<Balancer>, Balancer, PoolHandle) {
    let (service, handle) = balancer(builder, net);
    let retry = RetryOn429Layer::new().random(|| 1.0);
    (retry.layer(service.clone()), service, handle)
}

fn all_healthy(net: &Net) {
    for name in ["a", "b", "c", "d"] {
        net.on(name, |_| ok());
    }
}

/// Returns the trail of an answer as text.
fn trail_text<B>(answer: &Result<Response<B>, BoxError>) -> String {
    let response = answer.as_ref().expect("an answer");
    let trail = Trail::of(response.extensions());
    trail.map(ToString::to_string).unwrap_or_default()
}
