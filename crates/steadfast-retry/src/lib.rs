//! Retries HTTP requests that were rate limited or that failed, without making things worse.
//!
//! [`RetryOn429Layer`] sends a request again when its answer says that this may help: after a
//! `429` as soon as the server's own hint has passed, after an outage with a growing and random
//! backoff, and never when the request may have been processed already and is not safe to repeat.
//! Over a balancer of this workspace it does not sleep at all while another endpoint can take
//! the request. A budget shared by all requests keeps retries from becoming a storm.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use steadfast_retry::{ReplayBody, RetryOn429Layer};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! # use std::sync::atomic::{AtomicBool, Ordering};
//! # static BUSY: AtomicBool = AtomicBool::new(true);
//! // Stands for an HTTP client: it is busy the first time.
//! async fn send(_: Request<ReplayBody<Full<Bytes>>>) -> Result<Response<String>, Infallible> {
//!     let mut response = Response::new("done".to_owned());
//!     if BUSY.swap(false, Ordering::Relaxed) {
//!         *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
//!         response.headers_mut().insert("retry-after", 2.into());
//!     }
//!     Ok(response)
//! }
//!
//! let client = ServiceBuilder::new()
//!     .layer(RetryOn429Layer::new())
//!     .service_fn(send);
//!
//! let request = Request::post("http://api.test/jobs").body(Full::from("{}"))?;
//! let response = client.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! A client that is typed over a body of its own, which is `Clone`, keeps it with
//! [`clone_body`](RetryOn429Layer::clone_body).
//!
//! # Behavior
//!
//! What an answer means is said by [`Class`](steadfast_core::Class) and its table, and can be
//! changed with [`classifier`](RetryOn429Layer::classifier).
//!
//! | The answer | The request |
//! |---|---|
//! | `429` with a hint | is sent again after the hint and a random part of the backoff |
//! | `429` without one, a refused connection, `503` with a hint | is sent again after a backoff or the hint |
//! | a lost connection, `5xx` | the same, if the request is safe to repeat; `5xx` only once |
//! | a timeout, `401`, `403`, `400`, a spent quota | is not sent again to the same endpoint |
//! | any of these, and a balancer below has another endpoint | goes there at once, if the class allows it |
//! | the wait would outlive the [`Deadline`](steadfast_core::Deadline), or [`max_wait`] without one | returns this answer at once, with its hint |
//!
//! A request is safe to repeat if its method is idempotent, if it has an `idempotency-key`, if the
//! answer proves that it was not processed (a refusal such as `429`), if the layer is told so with
//! [`retry_non_idempotent`], or if its extensions say so with [`RetryOverride`].
//!
//! When the layer gives up it returns the last answer of the lowest tier that was tried, as it
//! came, and without any answer [`Exhausted`](steadfast_core::Exhausted). After more than one
//! attempt the [`Trail`](steadfast_core::Trail) is in the extensions of the response, or in the
//! error. An error of a lone attempt is passed on as it is.
//!
//! # Defaults
//!
//! | What | Default | Why |
//! |---|---|---|
//! | attempts | 3 | what SDKs of AI providers do; moving on after a refusal is not counted |
//! | backoff | 0.5 s doubling to 8 s, full jitter | the same SDKs; full jitter spreads a herd best |
//! | [`max_wait`] | 30 s in all | longer than a person waits, and shorter than most timeouts outside |
//! | budget | [`RetryBudget`](steadfast_core::RetryBudget) of 500 tokens | see there |
//! | replay limit | 1 MiB | holds a long prompt, and no upload |
//!
//! # Readiness, clones and dropped requests
//!
//! * `poll_ready` is that of the inner service. Before a further attempt the same handle is made
//!   ready again, no longer than there is time to wait.
//! * Clones of a layer, and the services that it makes, share one budget.
//! * Dropping a response future ends its wait and gives back what it took from the budget.
//! * Nothing is retried once the response was returned: its body is the caller's.
//!
//! # Bodies
//!
//! A request can be sent again only if its body can. A body whose size is known and within the
//! [limit](RetryOn429Layer::replay_limit), and which is in memory, costs a reference count. Any
//! other body is sent once: its request gets a single attempt.
//!
//! # Order
//!
//! ```text
//! request ──▶ metrics ──▶ retry ──▶ balance ──▶ timeout ──▶ client
//! ```
//!
//! A timeout outside covers all attempts and waits; set a [`Deadline`](steadfast_core::Deadline)
//! as well, so that no wait is begun in vain. Two of these layers in one stack do not multiply:
//! the outer one is in charge.
//!
//! # Limits
//!
//! Bodies that are streamed are not recorded yet.
//!
//! [`max_wait`]: RetryOn429Layer::max_wait
//! [`retry_non_idempotent`]: RetryOn429Layer::retry_non_idempotent

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod attempt;
mod backoff;
mod future;
mod layer;
mod mode;
mod overrides;
mod policy;
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
