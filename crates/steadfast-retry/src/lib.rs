//! Retries HTTP requests that were rate limited or that failed.
//!
//! [`RetryOn429Layer`] sends a request again after a `429` once the hint has passed, and after an
//! outage with an exponential, random backoff. A request that may have been processed is repeated
//! only if that is safe. Over a balancer a request moves to another endpoint at once. A budget
//! limits retries in an outage.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! # use std::sync::atomic::{AtomicBool, Ordering};
//! use steadfast_retry::{ReplayBody, RetryOn429Layer};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! # static BUSY: AtomicBool = AtomicBool::new(true);
//! // Replaces an HTTP client. The first request is refused.
//! async fn send(_: Request<ReplayBody<Full<Bytes>>>) -> Result<Response<String>, Infallible> {
//!     let mut response = Response::new("done".to_owned());
//!     if BUSY.swap(false, Ordering::Relaxed) {
//!         *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
//!         response.headers_mut().insert("retry-after", 2.into());
//!     }
//!     Ok(response)
//! }
//!
//! let client = ServiceBuilder::new().layer(RetryOn429Layer::new()).service_fn(send);
//!
//! let request = Request::post("http://api.test/jobs").body(Full::from("{}"))?;
//! let response = client.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | Outcome of an attempt | Effect |
//! |---|---|
//! | `429` with a hint | retry after the hint plus a random part |
//! | `429` without a hint, a refused connection, `503` with a hint, an open breaker without a balancer | retry after a backoff or the hint |
//! | a lost connection, another `503`, another `5xx` | retry after a backoff if the request is safe to repeat; another `5xx` once |
//! | a timeout, `504`, `524`, `501`, `505`, `401`, `403`, `400`, a spent quota | no retry at the same endpoint |
//! | a balancer below has another endpoint, and the class allows it | next attempt at once |
//! | the wait exceeds the [`Deadline`] or [`max_wait`] | the answer is returned at once |
//! | a balancer below reports that hints lead nowhere | the answer is returned with the true `retry-after` |
//! | the budget is empty, or the body is too large | the answer is returned at once |
//!
//! [`DefaultClassifier`](steadfast_core::DefaultClassifier) has the class of each status, a
//! [`ClassifyLayer`](steadfast_core::ClassifyLayer) changes it, and `x-should-retry` precedes it. A
//! request is safe to repeat if its method is idempotent, or if it has an `idempotency-key`.
//! [`safe_if`] and [`RetryOverride`] replace this rule. A refusal such as `429` is always safe.
//!
//! The caller gets the last answer of the lowest tier. Without any answer, it gets an
//! [`Exhausted`](steadfast_core::Exhausted), or the error of a lone attempt without a balancer. The
//! hint of a kept answer is reduced by its age, and a balancer below replaces it by the soonest
//! recovery of an endpoint. Exception: if the last attempt may have been processed and a repeat is
//! unsafe, its outcome is returned. After more than one attempt, the result contains the
//! [`Trail`](steadfast_core::Trail).
//!
//! # Defaults
//!
//! | Setting | Default | Reason |
//! |---|---|---|
//! | [`max_attempts`](RetryOn429Layer::max_attempts) | 3 | as in the SDKs of AI providers |
//! | [`backoff`](RetryOn429Layer::backoff) | 0.5 s doubling to 8 s, [`Jitter::Full`] | full jitter separates clients best |
//! | [`max_wait`] | 30 s in total | shorter than most outer timeouts |
//! | [`budget`](RetryOn429Layer::budget) | 500 tokens | see [`RetryBudget`](steadfast_core::RetryBudget) |
//! | [`replay_limit`](RetryOn429Layer::replay_limit) | 1 MiB | holds a long prompt, and no upload |
//!
//! # Bodies
//!
//! Every attempt sends the same bytes and trailers. See [`ReplayBody`] for the cost. An attempt
//! that is abandoned while it sends fails with [`BodySuperseded`]. Bodies must be `Unpin`, as after
//! `request.map(Box::pin)`. [`clone_body`](RetryOn429Layer::clone_body) keeps a `Clone` body type.
//! Up to 64 KiB of a failed answer are read during the next attempt. An answer to a half-sent
//! request delays the next attempt by at most 250 ms.
//!
//! # Readiness, clones and dropped requests
//!
//! * The service is ready when the inner service is. Each further attempt waits for readiness.
//! * Clones of a layer and their services share one budget.
//! * Dropping a response future refunds a reserved retry, and spends the cost of one in flight.
//!
//! # Order
//!
//! ```text
//! request ──▶ metrics ──▶ retry ──▶ balance ──▶ timeout ──▶ client
//! ```
//!
//! An outer timeout covers all attempts and waits. Of two nested layers only the outer one retries.
//!
//! [`Deadline`]: steadfast_core::Deadline
//! [`max_wait`]: RetryOn429Layer::max_wait
//! [`safe_if`]: RetryOn429Layer::safe_if

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod attempt;
mod backoff;
mod future;
mod layer;
mod mode;
mod overrides;
mod policy;
mod random;
mod replay;
mod retry;
mod service;

pub use self::answer::ResponseBody;
pub use self::backoff::{Backoff, Jitter};
pub use self::future::ResponseFuture;
pub use self::layer::RetryOn429Layer;
pub use self::mode::{BodyMode, CloneBody, Prepared, Replay};
pub use self::overrides::RetryOverride;
pub use self::replay::{BodySuperseded, ReplayBody};
pub use self::service::RetryOn429;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
