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
//! # Behavior
//!
//! [`Class`](steadfast_core::Class) lists the classes of answers. A
//! [`ClassifyLayer`](steadfast_core::ClassifyLayer) next to the client changes the classification.
//!
//! | The answer | The request |
//! |---|---|
//! | `429` with a hint | is sent again after the hint and a random part of the backoff |
//! | `429` without one, a refused connection, `503` with a hint | is sent again after a backoff or the hint |
//! | a lost connection, another `503`, `5xx` | the same, if the request is safe to repeat; `5xx` only once |
//! | a timeout, `401`, `403`, `400`, a spent quota | is not sent again to the same endpoint |
//! | any of these, and a balancer below has another endpoint | goes there at once, if the class allows it |
//! | the wait would outlive the [`Deadline`], or [`max_wait`] without one | returns this answer at once, with its hint |
//! | the budget is spent, the body was too large to keep | returns this answer at once |
//!
//! A server that sends `x-should-retry: true` or `false` has the last word on the same endpoint, as
//! far as the request is safe to repeat. A hint is read from every header that AI providers have for it, see
//! [`RateLimit`](steadfast_core::RateLimit); what an error body says is for a classifier that reads
//! it, as the crate `steadfast` has one.
//!
//! A request is safe to repeat if its method is idempotent, if it has an `idempotency-key` (which
//! every attempt carries), if the answer proves that it was not processed (a refusal such as
//! `429`), if the layer is told so with [`retry_non_idempotent`] or [`safe_if`], or if its
//! extensions say so with [`RetryOverride`].
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
//! | [`max_attempts`](RetryOn429Layer::max_attempts) | 3 | what SDKs of AI providers do; moving on after a refusal is not counted |
//! | [`backoff`](RetryOn429Layer::backoff) | 0.5 s doubling to 8 s, [`Jitter::Full`] | the same SDKs; full jitter spreads a herd best |
//! | [`max_wait`] | 30 s in all, with those for readiness | longer than a person waits, and shorter than most timeouts outside |
//! | [`budget`](RetryOn429Layer::budget) | a [`RetryBudget`] of 500 tokens | see below |
//! | [`replay_limit`](RetryOn429Layer::replay_limit) | 1 MiB | holds a long prompt, and no upload |
//! | [`safe_if`] | methods and keys | RFC 9110, section 9.2.2 |
//! | [`attempt_header`](RetryOn429Layer::attempt_header) | none | servers see no difference between attempts |
//!
//! One request can differ: with a [`Deadline`] in its extensions it waits for nothing that comes
//! later, and no attempt begins later, though one that has begun is not ended by it. A
//! [`RetryOverride`] has attempts, a wait and a safety of its own, or no retry at all.
//!
//! # Waits
//!
//! A hint is a floor, and jitter only adds to it: to come back sooner is to be refused again. All
//! clients that a server refused together got the same hint, so who followed one in vain is in a
//! crowd, and from then on its jitter is spread over all that the backoff has. In the simulator of
//! this workspace that takes 300 clients of an endpoint with 10 requests/s from 5.8 calls each to
//! 4.3.
//!
//! Nothing is slept that does not fit what is left, and a wait takes at most half of what a hint
//! leaves of a [`Deadline`], so that the attempt after it has time as well. An attempt may take all
//! the time that is left, and so may the last one: limits for attempts belong below this layer.
//!
//! # A budget, and not only a number of attempts
//!
//! Three attempts each are three times the load, just when there is too much of it. The budget is a
//! bucket that successes fill and retries empty, so that retries follow what the servers can still
//! do: five failures in a hundred are all retried, and in an outage retries fade after the first
//! 35. A retry pays before its wait and holds what it paid through it. That comes back if it
//! succeeds, or if its caller leaves before it is sent. [`RetryBudget`] has the costs. It belongs to a layer, its clones and
//! their services; [`budget`](RetryOn429Layer::budget) lets layers share one, and
//! [`without_budget`](RetryOn429Layer::without_budget) removes it.
//!
//! # Bodies
//!
//! Every attempt sends the same bytes and trailers, whatever was read before the failure: nothing,
//! half, or all of it, also if the answer came before the request had ended.
//!
//! | The request body | Costs |
//! |---|---|
//! | is in memory, within the [limit](RetryOn429Layer::replay_limit) | a reference count for each attempt; no copy, no lock |
//! | comes while it is sent, of any size or none known | is recorded meanwhile, up to the limit |
//! | turns out to be larger | nothing more: the attempt under way goes on, and is the last |
//! | is known to be larger, or no retry is possible | nothing: it is not recorded |
//!
//! A request whose body breaks is not sent again. An attempt that is given up while it still sends
//! is cut off with [`BodySuperseded`], so that its server never takes half a request for a whole
//! one. Bodies have to be `Unpin`: `request.map(Box::pin)` makes any body so.
//!
//! A client that is typed over a body of its own, which is `Clone`, keeps it with
//! [`clone_body`](RetryOn429Layer::clone_body).
//!
//! The answer of an attempt that failed is kept until the next one answers, as it may be the best
//! there is. Up to 64 KiB of its body are read meanwhile, without waiting for it, so that its
//! connection is free again; a larger one is dropped with its connection once a better answer is
//! there. The caller gets a [`ResponseBody`] of which nothing is missing. Where an answer comes
//! before its request has ended, a further attempt ends the connection over which it comes, and
//! so waits up to 250 ms for it to be read. An answer that takes longer, or is larger, breaks if it
//! is the one that is returned in the end.
//!
//! What is returned is the last answer of the lowest tier, or an error if there was none. Only a last
//! attempt that may have done what must not be done twice is returned as it is: an earlier refusal
//! would say that nothing was done.
//!
//! # What can be seen
//!
//! Each attempt runs in a `tracing` span `attempt`, at level `debug`, with
//! `http.request.resend_count` from the second on (as OpenTelemetry has it),
//! `http.response.status_code` and the `class` of its verdict. Each wait is an
//! [`Event::Retry`](steadfast_core::Event), told to [`observer`](RetryOn429Layer::observer)s and at
//! `debug`, and at that level is said why a request is given up. [`RetryBudget::available`] is a number for a dashboard.
//!
//! # Readiness, clones and dropped requests
//!
//! * `poll_ready` is that of the inner service. Before a further attempt the same handle is made
//!   ready again, no longer than there is time to wait.
//! * Clones of a layer, and the services that it makes, share one budget. Clones of a service share
//!   one generator of random numbers, so no two requests wait alike; a
//!   [`seed`](RetryOn429Layer::seed) makes a run repeatable.
//! * Dropping a response future ends its attempt or its wait. What a wait had reserved of the
//!   budget comes back; a retry that was sent is paid for.
//! * Nothing is retried once the response was returned: its body is the caller's.
//! * The futures are named types, without a box. A request that succeeds at once costs a copy of
//!   its head and four more allocations, for the [`Trail`](steadfast_core::Trail) in its
//!   extensions.
//!
//! # Order
//!
//! ```text
//! request ──▶ metrics ──▶ retry ──▶ balance ──▶ timeout ──▶ client
//! ```
//!
//! A timeout outside covers all attempts and waits; set a [`Deadline`] as well, so that no wait is
//! begun in vain. Two of these layers in one stack do not multiply: the outermost one that can send
//! a request again is in charge.
//! Compression and encryption of request bodies belong above it, signatures that hold for a short
//! time only below.
//!
//! # Limits
//!
//! * Redirects are answers. A client that follows them must be able to repeat the body as well.
//! * A response body that breaks is not mended: the caller has seen a part of it.
//! * A request without a body size is sent without one each time, although it is known by then.
//!
//! [`Deadline`]: steadfast_core::Deadline
//! [`RetryBudget`]: steadfast_core::RetryBudget
//! [`RetryBudget::available`]: steadfast_core::RetryBudget::available
//! [`max_wait`]: RetryOn429Layer::max_wait
//! [`retry_non_idempotent`]: RetryOn429Layer::retry_non_idempotent
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
