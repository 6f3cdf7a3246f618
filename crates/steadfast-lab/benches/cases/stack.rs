//! Several layers over three endpoints.

use std::time::Duration;

use http::{Request, Response};
use steadfast::{AiStack, AiStackBuilder, Answers};
use steadfast_balance::{EndpointBalanceLayer, PoolHandle};
use steadfast_core::LimitKey;
use steadfast_metrics::MetricsLayer;
use steadfast_retry::RetryOn429Layer;
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::util::MapRequestLayer;
use tower::{Layer, Service, ServiceBuilder};

use super::Case;
use super::balance::{BUFFER, endpoints, p2c};
use super::client::Requests;
use super::request::{Body, MODEL};
use super::tower_policy::TowerPolicy;
use super::tower_resilience::breaker_layer;
use super::upstream::{BusyFirst, Healthy, Plan, Upstream};

const ENDPOINTS: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("stack", "bare", || Requests::new(Upstream(Healthy))),
        Case::new("stack", "ours", || Requests::new(stack(Healthy))),
        Case::new("stack", "ours-unchecked", || {
            let stack = AiStack::builder().answers(Answers::Unchecked);
            Requests::new(built(stack, Healthy))
        }),
        Case::new("stack", "ours-layers", || Requests::new(layers(Healthy).0)),
    ];
    cases.extend(peers("stack", || Healthy));
    cases.extend([
        Case::new("stack-retry", "ours", || {
            let stack = stack(BusyFirst::default());
            let again = asked_again(stack.endpoints().clone(), Some(LimitKey::new(MODEL)));
            Requests::new(again.layer(stack))
        }),
        Case::new("stack-retry", "ours-layers", || {
            let (layers, pool) = layers(BusyFirst::default());
            Requests::new(asked_again(pool, None).layer(layers))
        }),
    ]);
    cases.extend(peers("stack-retry", BusyFirst::default));
    cases
}

fn stack<P: Plan>(plan: P) -> AiStack {
    built(AiStack::builder(), plan)
}

fn built<P: Plan>(stack: AiStackBuilder, plan: P) -> AiStack {
    stack
        .endpoints(endpoints(ENDPOINTS))
        .build_on(Upstream(plan))
        .expect("a valid configuration")
}

fn layers<P: Plan>(
    plan: P,
) -> (
    impl Service<
        Request<Body>,
        Response = Response<impl http_body::Body + Send>,
        Error: Send,
        Future: Send,
    > + Clone
    + Send
    + 'static,
    PoolHandle,
) {
    let balance = EndpointBalanceLayer::builder().endpoints(endpoints(ENDPOINTS));
    let balance = balance.build().expect("a valid configuration");
    let pool = balance.handle();
    let service = ServiceBuilder::new()
        .layer(MetricsLayer::requests())
        .layer(RetryOn429Layer::new())
        .layer(balance)
        .service(Upstream(plan));
    (service, pool)
}

/// Each request tries the first endpoint, which refuses it. Otherwise the cooldown of that endpoint
/// would grow with each refusal, regardless of its hint. `key` is the key of the requests.
fn asked_again(
    pool: PoolHandle,
    key: Option<LimitKey>,
) -> MapRequestLayer<impl Fn(Request<Body>) -> Request<Body> + Clone> {
    MapRequestLayer::new(move |request| {
        let ended = match &key {
            Some(key) => pool.cool_key("e0", key, Duration::ZERO),
            None => pool.cool("e0", Duration::ZERO),
        };
        ended.expect("there is such an endpoint");
        request
    })
}

fn peers<P: Plan>(group: &'static str, plan: fn() -> P) -> Vec<Case> {
    let upstream = move || Upstream(plan());
    vec![
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
