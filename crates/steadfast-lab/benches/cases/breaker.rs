//! Circuit breakers.

use std::time::Duration;

use breaker::tower::BreakerLayer;
use breaker::{CircuitBreaker as PeerBreaker, CircuitBreakerConfig};
use failsafe::futures::CircuitBreaker as _;
use failsafe::{Config, FailurePolicy, StateMachine, backoff, failure_policy};
use http::{Request, Response};
use recloser::{AsyncRecloser, Recloser};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
use steadfast_core::{Class, Verdict};
use tower::{Layer, Service, service_fn};

use super::Case;
use super::client::Requests;
use super::request::Body;
use super::tower_resilience::breaker_layer;
use super::upstream::{Dead, Down, Healthy, LeftAlone, Plan, Upstream};

/// What was opened stays open for as long as it is measured.
pub(crate) const OPEN: Duration = Duration::from_secs(3600);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("breaker", "bare", || Requests::new(Upstream(Healthy))),
        Case::new("breaker-reject", "bare", || {
            Requests::with(Upstream(Dead), false)
        }),
    ];
    cases.extend(breakers("breaker", || Healthy, true));
    cases.extend(breakers("breaker-reject", || LeftAlone::new(Dead), false));
    cases
}

/// Breakers with their defaults, but for the time that they stay open.
fn breakers<P: Plan>(group: &'static str, plan: fn() -> P, succeed: bool) -> Vec<Case> {
    let upstream = move || Upstream(plan());
    vec![
        Case::new(group, "ours", move || {
            let layer = CircuitBreakerLayer::http(ours());
            Requests::with(layer.layer(upstream()), succeed)
        }),
        Case::new(group, "ours-by-result", move || {
            let layer = CircuitBreakerLayer::new(ours());
            Requests::with(layer.layer(upstream()), succeed)
        }),
        Case::new(group, "ours-value", move || {
            let (breaker, upstream) = (ours(), upstream());
            let service =
                service_fn(move |request| ask_before(breaker.clone(), upstream.clone(), request));
            Requests::with(service, succeed)
        }),
        Case::new(group, "breaker", move || {
            let layer = BreakerLayer::new(peer());
            Requests::with(layer.layer(upstream()), succeed)
        }),
        Case::new(group, "breaker-value", move || {
            let (breaker, upstream) = (peer(), upstream());
            let service = service_fn(move |request: Request<Body>| {
                let (breaker, mut upstream) = (breaker.clone(), upstream.clone());
                async move { breaker.call(move || upstream.call(request)).await }
            });
            Requests::with(service, succeed)
        }),
        Case::new(group, "recloser", move || {
            let recloser = AsyncRecloser::from(Recloser::custom().open_wait(OPEN).build());
            let mut upstream = upstream();
            let service =
                service_fn(move |request: Request<Body>| recloser.call(upstream.call(request)));
            Requests::with(service, succeed)
        }),
        Case::new(group, "failsafe", move || {
            let (breaker, mut upstream) = (failsafe(), upstream());
            let service =
                service_fn(move |request: Request<Body>| breaker.call(upstream.call(request)));
            Requests::with(service, succeed)
        }),
        Case::new(group, "tower-resilience-circuitbreaker", move || {
            Requests::with(breaker_layer().layer(upstream()), succeed)
        }),
    ]
}

fn ours() -> CircuitBreaker {
    let builder = CircuitBreaker::builder()
        .recovery_timeout(OPEN)
        .max_recovery_timeout(OPEN);
    builder.build().expect("a valid configuration")
}

async fn ask_before<P: Plan>(
    breaker: CircuitBreaker,
    mut upstream: Upstream<P>,
    request: Request<Body>,
) -> Result<Response<Body>, Down> {
    let permit = breaker.try_acquire().map_err(|_| Down)?;
    let outcome = upstream.call(request).await;
    permit.record(match &outcome {
        Ok(_) => Verdict::SUCCESS,
        Err(_) => Verdict::new(Class::Connect),
    });
    outcome
}

fn peer() -> PeerBreaker {
    PeerBreaker::new(CircuitBreakerConfig::builder().wait_duration(OPEN).build())
}

fn failsafe() -> StateMachine<impl FailurePolicy + Send + Sync, ()> {
    let wait = backoff::constant(OPEN);
    let window = Duration::from_secs(30);
    let rate = failure_policy::success_rate_over_time_window(0.8, 5, window, wait.clone());
    let policy = rate.or_else(failure_policy::consecutive_failures(5, wait));
    Config::new().failure_policy(policy).build()
}
