//! Rejects requests to a service that fails, until it works again.
//!
//! A service that is down costs every request a timeout, and the requests keep it down. A
//! [`CircuitBreaker`] counts failures and opens after too many: attempts are rejected at once.
//! After the open time it admits a few probes, and closes when they succeed. It is a plain value,
//! and [`CircuitBreakerLayer`] applies it to a tower service. Retries are left to outer layers.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use std::{convert::Infallible, time::Duration};
//! use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen};
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! type Body = Empty<bytes::Bytes>;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let breaker = CircuitBreaker::builder()
//!     .name("payments")
//!     .consecutive_failures(2)
//!     .recovery_timeout(Duration::from_secs(5))
//!     .build()?;
//!
//! // Any client will do. This one is down.
//! let client = service_fn(|_: Request<Body>| async {
//!     let response = Response::builder().status(500).body(Body::new());
//!     Ok::<_, Infallible>(response.expect("a good status"))
//! });
//! let mut client = CircuitBreakerLayer::http(breaker.clone()).layer(client);
//!
//! for _ in 0..2 {
//!     let response = client.ready().await?.call(Request::new(Body::new())).await?;
//!     assert_eq!(response.status(), 500);
//! }
//! let error = client.ready().await?.call(Request::new(Body::new())).await.unwrap_err();
//! let open = CircuitOpen::find(&*error).expect("the third request was not sent");
//! assert_eq!(open.name(), &"payments");
//! assert!(open.retry_in() <= Some(Duration::from_secs(5)));
//! # Ok(())
//! # }
//! ```
//!
//! For a service without HTTP, [`CircuitBreaker::layer`] counts `Ok` as a success and `Err` as a
//! failure. Without tower, use [`CircuitBreaker::call`] or [`CircuitBreaker::try_acquire`].
//!
//! # Behavior
//!
//! | State | Event | Effect |
//! |---|---|---|
//! | closed | an attempt succeeds | the streak ends |
//! | closed | 5 consecutive failures, or another [rule](CircuitBreakerBuilder#trip-rules) is reached | opens |
//! | open | an attempt | is rejected with [`CircuitOpen`] and not sent |
//! | open | the first attempt after the open time | half-open; the attempt is a probe |
//! | half-open | an attempt while all probe slots are taken | is rejected for at most a second |
//! | half-open | 3 probes succeed | closes, without any history |
//! | half-open | a probe fails | opens for twice as long |
//! | half-open | a probe has no answer for 30 s | its slot is reclaimed |
//! | closed | `recovery_timeout` passes | the next open time is one step shorter |
//! | any | an attempt is cancelled, or its verdict is neutral | none, except that a slot is released |
//! | any | a verdict on an attempt from before the last transition | none |
//!
//! The [`CircuitBreakerBuilder`] documents the rules and their defaults, and [`CircuitBreakerLayer`]
//! the outcomes of HTTP and gRPC.
//!
//! # Readiness, clones and dropped requests
//!
//! * `poll_ready` polls only the inner service, and `call` decides about admission. With
//!   [`backpressure`](CircuitBreakerLayer::backpressure), `poll_ready` waits for an admission.
//! * A rejected request does not reach the inner service. The reservation stays with the handle.
//! * Clones of a [`CircuitBreaker`] and all services of one layer share one state.
//! * A future that is dropped before the head is a cancelled attempt: it does not count, and a
//!   probe releases its slot. See [`abandoned_after`](CircuitBreakerLayer::abandoned_after) for
//!   outer timeouts. A dropped body is no failure.
//!
//! # Order
//!
//! ```text
//!  request ──▶ retry ──▶ breaker ──▶ timeout ──▶ client
//! ```
//!
//! Outside of a timeout, so that a timeout is a failure and not a dropped future. Inside of a
//! retry, so that each attempt counts. Inside of a concurrency limit, because a rejected request
//! would otherwise keep a permit reserved.
//!
//! # Limits
//!
//! * A breaker covers one service. For many hosts or tenants, use a [`BreakerRegistry`].
//! * It does not limit rates: `429` and spent quotas are neutral, except with
//!   [`rate_limits`](CircuitBreakerBuilder::rate_limits).
//! * It has no timer, except for services with backpressure.
//! * A probe still runs after its slot was reclaimed. More probes than slots may be in flight.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod machine;
#[cfg(all(test, steadfast_loom))]
mod models;
mod service;
mod sync;
mod value;

pub use self::machine::{RateLimits, TripReason, Window};
pub use self::service::{
    ByGrpcStatus, ByResponse, ByResult, ByResultFn, CircuitBreakerLayer, CircuitBreakerService,
    GrpcBody, ResponseBody, ResponseFuture, Settle,
};
pub use self::value::{
    Attached, BreakerAt, BreakerRegistry, CallError, CircuitBreaker, CircuitBreakerBuilder,
    CircuitOpen, Detached, FailureReceipt, Permit,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
