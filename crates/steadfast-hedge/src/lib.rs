//! Sends a second attempt to another endpoint when the first one is slow.
//!
//! A few answers take many times longer than the others. [`HedgeLayer`] belongs above a balancer.
//! It measures the latency of successes. A request that is not answered within the time of 96 % of
//! them gets a second attempt, a hedge. The first success is returned, and the other attempt is
//! dropped. Hedges are limited to a share of all requests, so that they cannot overload an endpoint
//! that is slow because it is busy.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use steadfast_balance::{Endpoint, EndpointBalanceLayer, Strategy};
//! use steadfast_core::RetryBudget;
//! use steadfast_hedge::{HedgeLayer, Share};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! # async fn send(request: Request<String>) -> Result<Response<String>, Infallible> {
//! #     Ok(Response::new(request.uri().to_string()))
//! # }
//! let balance = EndpointBalanceLayer::builder()
//!     .endpoint(Endpoint::new("east", "https://east.example.com")?)
//!     .endpoint(Endpoint::new("west", "https://west.example.com")?)
//!     .strategy(Strategy::LeastLoaded)
//!     .build()?;
//! let hedge = HedgeLayer::new()
//!     .max_share(Share::new(0.02)?)
//!     .budget(RetryBudget::default());
//! let client = ServiceBuilder::new()
//!     .layer(hedge)
//!     .layer(balance)
//!     .service_fn(send);
//! # client.oneshot(Request::get("/").body(String::new())?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | Event | Effect |
//! |---|---|
//! | an attempt succeeds | its answer is returned, the other attempts are dropped |
//! | the first attempt fails with a class that no other endpoint can improve | the same |
//! | an attempt fails otherwise while another is in flight | the other one decides |
//! | all attempts fail | the outcome of the first one is returned, but an answer before an error |
//! | no other endpoint is admissible at once | no hedge, and a new check after the same delay |
//! | the request is still queued | no hedge: the delay starts when the request is sent |
//!
//! A request is hedged if it is safe to repeat: its method is idempotent, or it has an
//! `idempotency-key`. [`safe_if`](HedgeLayer::safe_if) replaces this rule. Exceptions: a request
//! that [`RoutingOptions`](steadfast_core::RoutingOptions) pin to one endpoint, and a request with
//! a close [`Deadline`](steadfast_core::Deadline).
//!
//! A hedge goes to an admissible endpoint of the lowest tier that has one, and never to an endpoint
//! that an attempt of the request has used. It neither queues nor uses a last resort.
//!
//! The [`Trail`](steadfast_core::Trail) contains all attempts. A dropped attempt is `Cancelled`: it
//! changes neither the breaker nor the latency of its endpoint.
//!
//! # Defaults
//!
//! | Setting | Default | Reason |
//! |---|---|---|
//! | [`quantile`](HedgeLayer::quantile) | 0.96 | below the share, so that random bursts do not exhaust it |
//! | [`max_share`](HedgeLayer::max_share) | 5 % | limits the additional load |
//! | [`max_hedges`](HedgeLayer::max_hedges) | 1 | one hedge turns 5 % of slow answers into 0.25 % |
//! | [`budget`](HedgeLayer::budget) | none | the share is a limit already |
//!
//! The layer estimates the quantile from the latest 1,024 to 2,048 successes. It needs 125 of them
//! before the first hedge. An attempt that loses against a hedge counts with the time until then,
//! so hedges do not shorten the quantile.
//!
//! # Readiness, clones and dropped requests
//!
//! * The service is ready when the inner service is. If the inner service is busy when a hedge is
//!   due, the hedge is skipped.
//! * Clones of a service share the latencies and the share. Services of one layer share neither.
//! * A request that may be hedged costs a copy of its head and body. Bodies in memory cost a
//!   reference count. [`copy_body`](HedgeLayer::copy_body) decides for other bodies.
//! * Dropping a response future drops all attempts.
//!
//! # Order
//!
//! ```text
//! request ──▶ retry ──▶ hedge ──▶ balance ──▶ (layers of the endpoint) ──▶ client
//! ```
//!
//! Around another service than the balancer of `steadfast-balance`, both attempts may reach the
//! same endpoint.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod copy;
mod digest;
mod future;
mod layer;
mod quantile;
mod repeat;
mod rules;
mod running;
mod service;
mod share;

pub use self::copy::{Cloned, CopyBody, CopyBodyFn};
pub use self::future::ResponseFuture;
pub use self::layer::HedgeLayer;
pub use self::quantile::Quantile;
pub use self::service::Hedge;
pub use self::share::Share;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
