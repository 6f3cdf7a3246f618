//! Layers that retry.

use std::hint::black_box;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use steadfast_retry::RetryOn429Layer;
use tokio::time::sleep;
use tower::retry::RetryLayer;
use tower::{Layer, Service, service_fn};

use super::Case;
use super::client::Requests;
use super::request::Body;
use super::reqwest::Reqwest;
use super::tower_policy::TowerPolicy;
use super::tower_resilience::retry_layer;
use super::upstream::{BusyFirst, Down, Healthy, Plan, Upstream};

pub(crate) const ATTEMPTS: u32 = 3;
pub(crate) const BACKOFF: Duration = Duration::from_millis(100);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("retry", "bare", || Requests::new(Upstream(Healthy))),
        Case::new("retry", "bare-reqwest", || Reqwest::bare(Healthy)),
        Case::new("retry", "clone", || {
            let upstream = Upstream(Healthy);
            Requests::new(service_fn(move |request| {
                keep_copy(upstream.clone(), request)
            }))
        }),
    ];
    cases.extend(layers("retry", || Healthy));

    let mut retried = vec![
        Case::new("retry-retry", "bare", || {
            let upstream = Upstream(BusyFirst::default());
            Requests::new(service_fn(move |request| {
                by_hand(upstream.clone(), request)
            }))
        }),
        Case::new("retry-retry", "bare-reqwest", || {
            Reqwest::by_hand(BusyFirst::default())
        }),
    ];
    retried.extend(layers("retry-retry", BusyFirst::default));
    // No timer is shorter than a millisecond, so the clock has to be one that does not wait.
    cases.extend(retried.into_iter().map(Case::paused));
    cases
}

fn layers<P: Plan>(group: &'static str, plan: fn() -> P) -> Vec<Case> {
    let upstream = move || Upstream(plan());
    vec![
        Case::new(group, "ours", move || {
            Requests::new(RetryOn429Layer::new().layer(upstream()))
        }),
        Case::new(group, "ours-clone-body", move || {
            let layer = RetryOn429Layer::new().clone_body();
            Requests::new(layer.layer(upstream()))
        }),
        Case::new(group, "tower", move || {
            let layer = RetryLayer::new(TowerPolicy::with_backoff(BACKOFF));
            Requests::new(layer.layer(upstream()))
        }),
        Case::new(group, "tower-resilience-retry", move || {
            Requests::new(retry_layer().layer(upstream()))
        }),
        Case::new(group, "reqwest-retry", move || Reqwest::retrying(plan())),
    ]
}

/// Keeps a copy of the request until its answer, as every retry layer must.
async fn keep_copy<P: Plan>(
    mut upstream: Upstream<P>,
    request: Request<Body>,
) -> Result<Response<Body>, Down> {
    let copy = black_box(request.clone());
    let response = upstream.call(request).await;
    drop(copy);
    response
}

/// Does what the layers do, without a rule or a budget.
async fn by_hand<P: Plan>(
    mut upstream: Upstream<P>,
    request: Request<Body>,
) -> Result<Response<Body>, Down> {
    let copy = request.clone();
    let response = upstream.call(request).await?;
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return Ok(response);
    }
    sleep(BACKOFF).await;
    upstream.call(copy).await
}
