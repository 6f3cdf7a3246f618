//! Sends a second attempt to another endpoint when the first one is slow.
//!
//! A few answers take many times longer than the others. [`HedgeLayer`] belongs above a balancer:
//! around any other service, both attempts may reach the same endpoint. It measures the latency of
//! successes. A request that is not answered within the time of 96 % of them gets a second attempt,
//! a hedge. The first success is returned, and the other attempt is dropped. Hedges are limited to
//! a share of all requests, so that they cannot overload an endpoint that is slow because it is
//! busy.
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
//! | an attempt succeeds | its answer is returned, and the other attempts are dropped |
//! | the first attempt fails with a class that no other endpoint can improve | its outcome is returned, and the other attempts are dropped |
//! | an attempt fails otherwise while another is in flight | the other one decides |
//! | all attempts fail | the first one's outcome is returned, except that any answer is preferred to an error |
//! | no other endpoint is admissible, or the inner service is busy | no hedge, and a new check after the same delay |
//! | the share or the budget is used up | no hedge, and a new check after an eighth of the delay |
//! | the request is still queued | no hedge: the delay starts when the request is sent |
//!
//! A request is hedged if it is safe to repeat: its method is idempotent, or it has an
//! `idempotency-key`. [`safe_if`](HedgeLayer::safe_if) replaces this rule. Exceptions: a request
//! that [`RoutingOptions`](steadfast_core::RoutingOptions) pin to one endpoint, and a request with
//! a [`Deadline`](steadfast_core::Deadline) that ends within the delay.
//!
//! A hedge goes to an admissible endpoint: enabled, neither limited nor broken. The lowest tier
//! with such an endpoint is used. No endpoint gets two attempts of one request. A hedge neither
//! queues nor takes a last resort (`WhenExhausted::LeastBad`). If no hedge can be sent, the layer
//! tries again after the delay, then after twice the time, up to 1 s.
//!
//! The [`Trail`](steadfast_core::Trail) contains all attempts. A dropped attempt is `Cancelled`: it
//! changes neither the breaker nor the latency of its endpoint.
//!
//! # Defaults
//!
//! | Setting | Default | Reason |
//! |---|---|---|
//! | [`quantile`](HedgeLayer::quantile) | 0.96 | 4 % are hedged, less than the share: random bursts do not use it up |
//! | [`after`](HedgeLayer::after) | none | a fixed delay in place of the quantile |
//! | [`min_delay`](HedgeLayer::min_delay) | 1 ms | the shortest delay |
//! | [`max_share`](HedgeLayer::max_share) | 5 % | limits the additional load; up to 50 unused hedges are saved |
//! | [`max_hedges`](HedgeLayer::max_hedges) | 1 | if 5 % of the answers are slow, one hedge leaves 0.25 % |
//! | [`budget`](HedgeLayer::budget) | none | the share is a limit already |
//! | [`hedge_non_idempotent`](HedgeLayer::hedge_non_idempotent) | off | a hedge may be processed twice |
//!
//! The layer estimates the quantile from the latest 1,024 to 2,048 successes. It needs 125 of them
//! before the first hedge. An attempt that loses against a hedge counts with the time until then,
//! so hedges do not shorten the quantile.
//!
//! # Readiness, clones and dropped requests
//!
//! * The service is ready when the inner service is.
//! * Clones of a service share the latencies and the share. Services of one layer share neither.
//! * A request that may be hedged costs a copy of its head and a clone of its body. A clone of a
//!   `Bytes` costs a reference count, and a clone of a `String` copies it.
//!   [`copy_body`](HedgeLayer::copy_body) decides for other bodies.
//! * Dropping a response future drops all attempts.
//!
//! # Order
//!
//! ```text
//! request ──▶ retry ──▶ hedge ──▶ balance ──▶ (layers of the endpoint) ──▶ client
//! ```

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
