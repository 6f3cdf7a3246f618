//! Several layers over three endpoints.

use std::time::Duration;

use steadfast::AiStack;
use steadfast_balance::EndpointBalanceLayer;
use steadfast_metrics::MetricsLayer;
use steadfast_retry::RetryOn429Layer;
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{Layer, ServiceBuilder};

use super::Case;
use super::balance::{BUFFER, endpoints, p2c};
use super::client::Requests;
use super::tower_policy::TowerPolicy;
use super::tower_resilience::breaker_layer;
use super::upstream::{BusyFirst, Healthy, Plan, Upstream};

const ENDPOINTS: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<Case> {
    let bare = Case::new("stack", "bare", || Requests::new(Upstream(Healthy)));
    let mut cases = vec![bare];
    cases.extend(stacks("stack", || Healthy));
    cases.extend(stacks("stack-retry", BusyFirst::default));
    cases
}

fn stacks<P: Plan>(group: &'static str, plan: fn() -> P) -> Vec<Case> {
    let upstream = move || Upstream(plan());
    vec![
        Case::new(group, "ours", move || {
            let stack = AiStack::builder().endpoints(endpoints(ENDPOINTS));
            Requests::new(stack.build_on(upstream()).expect("a valid configuration"))
        }),
        Case::new(group, "ours-layers", move || {
            let balance = EndpointBalanceLayer::builder().endpoints(endpoints(ENDPOINTS));
            let service = ServiceBuilder::new()
                .layer(MetricsLayer::requests())
                .layer(RetryOn429Layer::new())
                .layer(balance.build().expect("a valid configuration"))
                .service(upstream());
            Requests::new(service)
        }),
        // Retries have to be inside, as the balancer cannot be cloned: none moves on.
        Case::single(group, "tower-and-tower-resilience", move || {
            let upstream = upstream();
            let endpoint = || {
                ServiceBuilder::new()
                    .layer(TimeoutLayer::new(TIMEOUT))
                    .layer(RetryLayer::new(TowerPolicy::at_once()))
                    .layer(breaker_layer())
                    .service(upstream.clone())
            };
            Requests::new(p2c((0..ENDPOINTS).map(|_| endpoint()).collect()))
        }),
        // The same with retries that move on.
        Case::new(group, "tower-and-tower-resilience-buffer", move || {
            let upstream = upstream();
            let endpoint = || breaker_layer().layer(upstream.clone());
            let service = ServiceBuilder::new()
                .layer(TimeoutLayer::new(TIMEOUT))
                .layer(RetryLayer::new(TowerPolicy::at_once()))
                .layer(BufferLayer::new(BUFFER))
                .service(p2c((0..ENDPOINTS).map(|_| endpoint()).collect()));
            Requests::new(service)
        }),
    ]
}
