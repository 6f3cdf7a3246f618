//! Selects an admissible endpoint for each HTTP request.
//!
//! [`EndpointBalanceLayer`] makes one service of several endpoints, each with a cooldown, a learned
//! send rate, a breaker, a load and a latency. A request makes one attempt at an admissible
//! endpoint of the lowest tier. A retry layer above it sends a refused request elsewhere at once.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use steadfast_balance::{Endpoint, EndpointBalanceLayer, Strategy};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! // Replaces an HTTP client.
//! async fn send(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     Ok(Response::new(request.uri().to_string()))
//! }
//!
//! let layer = EndpointBalanceLayer::builder()
//!     .endpoint(Endpoint::new("primary", "https://api.example.com/v1")?)
//!     .endpoint(Endpoint::new("backup", "https://backup.example.com/v1")?.tier(1))
//!     .strategy(Strategy::LeastLoaded)
//!     .build()?;
//! let endpoints = layer.handle();
//! let client = ServiceBuilder::new().layer(layer).service_fn(send);
//!
//! let response = client.oneshot(Request::get("/models?limit=5").body(String::new())?).await?;
//! assert_eq!(response.into_body().get_ref(), "https://api.example.com/v1/models?limit=5");
//! assert_eq!(endpoints.status()[0].health, 1.0);
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | Outcome of an attempt | Effect on the endpoint |
//! |---|---|
//! | `429` and similar | cools for the hint, at most a day. Without a hint (or with a repeated zero hint): 1 s, doubling to 1 min while probes are refused |
//! | success with `remaining: 0` | cools until the reset, or until the bucket holds the [estimated tokens](steadfast_core::RoutingOptions::estimated_tokens) |
//! | `402`, a spent quota, a missing model, three rejections (`401`) of its own credential | bench of 1 min, doubling to 30 min while probes are refused |
//! | error, timeout, `5xx`, a body that breaks after `200` | one failure in its breaker |
//! | this machine lacks descriptors, ports or memory | none |
//! | a prompt that is too long, rejected content, a first `401`, a `403` | none |
//! | any other answer | success |
//!
//! If a request fails alike at two endpoints and one of them serves other requests, the request is
//! at fault. Its failures are taken back, so that it opens no breaker. The refusals of one burst
//! start one cooldown. A cooldown ends with one probe, a bench only with its success. If other
//! attempts succeed meanwhile, the refusal concerns only its own request. A refusal benches the
//! endpoint only if it serves no other requests. A bench of more than 1 min requires a second,
//! different request. A request without another endpoint tests a bench.
//! [`PoolHandle::restore`] and passed health checks end it.
//!
//! # Selection
//!
//! A [`Strategy`] or another [`Pick`] selects among the candidates of a tier. The order after a
//! failure is: an untried endpoint of the tier, the next tier, the endpoint with the fewest
//! attempts (if the [class](steadfast_core::Class) allows a repeat). A known hint that fits is
//! waited out before an endpoint without a connection is tried again. An endpoint that is
//! [`degraded`](Endpoint::degraded) is last. [`RoutingOptions`](steadfast_core::RoutingOptions)
//! restrict one request.
//!
//! If no endpoint is admissible, [`WhenExhausted`] decides: fail with
//! [`Exhausted`](steadfast_core::Exhausted) (default), wait, or try the least bad endpoint. If all
//! breakers are open, the default waits up to `probe_wait` for an early probe.
//!
//! Attempts beyond the learned send rate of a limited endpoint go to other endpoints or queue,
//! first come first served, until their [`Deadline`](steadfast_core::Deadline) or `max_wait`.
//!
//! # Defaults
//!
//! | Setting | Default |
//! |---|---|
//! | [`strategy`](EndpointBalanceBuilder::strategy) | [`Strategy::Failover`] |
//! | [`max_wait`](EndpointBalanceBuilder::max_wait), in an [overload](EndpointBalanceBuilder::overload_wait) | 30 s, 1 s |
//! | [`prefer_wait`](EndpointBalanceBuilder::prefer_wait) | 3 s |
//! | [`probe_wait`](EndpointBalanceBuilder::probe_wait) | 1 s |
//! | breaker of an endpoint | 7 consecutive failures, or 6 failures in excess of 22 % of the calls |
//!
//! # Readiness, clones and dropped requests
//!
//! * The service is always ready. The response future polls the service of the selected endpoint
//!   for readiness and calls it at once. If it is busy, the next endpoint is tried.
//! * Clones and all services of one layer share the state of the endpoints.
//! * A future that is dropped before the head releases its reservation. The attempt is `Cancelled`,
//!   or `Timeout` after [`abandoned_after`](EndpointBalanceBuilder::abandoned_after).
//! * A request is in flight until its head fails, or its response body ends or is dropped.
//!
//! # Order
//!
//! ```text
//! request ──▶ retry ──▶ hedge ──▶ balance ──▶ (layers of the endpoint) ──▶ client
//! ```
//!
//! The guide `docs/balancer.md` of the repository covers the send rate, the queue, live changes and
//! the cost of a request. Features: `discover` (`PoolHandle::follow`), `dns` (`Resolve::new`),
//! `health` (`HealthCheck`), `serde` ([`EndpointStatus`], [`Strategy`]).

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admit;
mod builder;
mod config;
mod discover;
mod endpoint;
mod exhausted;
#[cfg(feature = "health")]
mod health;
mod layer;
mod make_layer;
mod pool;
mod select;
mod service;
mod state;

pub use self::builder::EndpointBalanceBuilder;
pub use self::discover::dns::Resolve;
pub use self::endpoint::Endpoint;
pub use self::endpoint::caller::credential_hash;
pub use self::endpoint::connect_addr::ResolvedAddr;
pub use self::endpoint::credential::Credential;
pub use self::endpoint::limits::Limits;
pub use self::endpoint::rule::Rule;
pub use self::endpoint::weight::Weight;
pub use self::exhausted::WhenExhausted;
#[cfg(feature = "health")]
pub use self::health::settings::{HealthCheck, HealthChecks};
pub use self::layer::EndpointBalanceLayer;
pub use self::make_layer::{MakeEndpointLayer, MakeLayerFn, NoEndpointLayer};
pub use self::pool::handle::PoolHandle;
pub use self::pool::key_status::KeyStatus;
pub use self::pool::limit_status::LimitStatus;
pub use self::pool::snapshot::EndpointMode;
pub use self::pool::status::EndpointStatus;
pub use self::select::candidates::{Candidate, Candidates};
pub use self::select::pick::{Pick, Sample};
pub use self::select::pick_context::PickContext;
pub use self::select::strategy::{PickFn, Scored, Strategy, pick_fn};
pub use self::service::EndpointBalance;
pub use self::service::body::ResponseBody;
pub use self::service::future::ResponseFuture;
pub use self::state::check_result::{CheckOutcome, CheckResult};
pub use self::state::quota::QuotaWindow;
pub use self::state::reason::Reason;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
