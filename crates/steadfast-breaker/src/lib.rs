//! Stops sending requests to a service that fails, until it works again.
//!
//! A service that is down costs every request a timeout, and the requests keep it down. A
//! [`CircuitBreaker`] counts failures, and after too many of them rejects requests at once. After
//! a while it lets a few probes through, and closes when they succeed. It is a plain value for any
//! code, and [`CircuitBreakerLayer`] puts the same value around any tower service. Sending a
//! rejected request again, or somewhere else, is left to the layers outside.
//!
//! # Example
//!
//! Around an HTTP client, where a status can be a failure and a body can break:
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
//! Around anything else, where `Ok` is a success and `Err` a failure:
//!
//! ```
//! use std::io;
//! use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let breaker = CircuitBreaker::new();
//! let database = service_fn(|key: u32| async move { Ok::<_, io::Error>(key + 1) });
//! let database = CircuitBreakerLayer::new(breaker.clone()).layer(database);
//!
//! assert_eq!(database.oneshot(1).await?, 2);
//! assert_eq!(breaker.health(), 1.0);
//! # Ok(())
//! # }
//! ```
//!
//! Without tower, [`CircuitBreaker::call`] does the same for a future, and
//! [`CircuitBreaker::try_acquire`] for whatever knows better what a success is.
//!
//! # Behavior
//!
//! | State | What happens | Effect |
//! |---|---|---|
//! | closed | an attempt succeeds | the row of failures begins at zero again |
//! | closed | 5 failures in a row, or another rule that is set | opens |
//! | open | an attempt | is rejected with [`CircuitOpen`], and nothing is sent |
//! | open | the first attempt after the open time | half-open, and the attempt is a probe |
//! | half-open | an attempt while all places are taken | is rejected, and told to ask again in a second at most |
//! | half-open | 3 probes succeed | closes, and knows nothing of what was before |
//! | half-open | a probe fails | opens, for twice as long as the last time |
//! | closed | the `recovery_timeout` passes in good health | the next open time is a step shorter again |
//! | closed | it was open, and a [`ramp`](CircuitBreakerBuilder::ramp) is set | a growing share of attempts is admitted |
//! | half-open | a probe has not answered for 30 s | its place goes to another one |
//! | any | an attempt is cancelled, or its verdict is neutral | nothing, but a place is free again |
//! | any | a verdict on an attempt from before the last transition | nothing |
//!
//! # When it opens
//!
//! Each rule works beside the others; whichever is broken first opens the breaker, and
//! [`last_trip`](CircuitBreaker::last_trip) says which one it was.
//!
//! | Rule | Opens at |
//! |---|---|
//! | [`consecutive_failures`](CircuitBreakerBuilder::consecutive_failures) | so many failures in a row: the only one by default |
//! | [`failures_of_last`](CircuitBreakerBuilder::failures_of_last) | so many failures among the last outcomes, 64 at most, as "10 of the last 20" |
//! | [`excess_failures`](CircuitBreakerBuilder::excess_failures) | so many failures more than a share of the calls would be, whenever that began |
//! | [`failure_rate`](CircuitBreakerBuilder::failure_rate) | a share of the last calls, or of those of the last seconds |
//! | [`slow_calls`](CircuitBreakerBuilder::slow_calls) | a share of calls that took too long, whatever came of them |
//! | [`rate_limits`](CircuitBreakerBuilder::rate_limits) | a rate limit until its hint, or as one more bad call of the rate |
//! | [`trip`](CircuitBreaker::trip), [`isolate`](CircuitBreaker::isolate) | the word of somebody |
//!
//! The windows slide: a call leaves the count when it is older than the last so many, or, to a
//! tenth of the window, than so many seconds. They take constant memory. The hint of the answer
//! that opens a breaker is a floor of its open time, up to a day.
//!
//! # What counts as what
//!
//! That is the [`Verdict`](steadfast_core::Verdict) of the attempt:
//!
//! | Layer | Success | Failure | Neutral |
//! |---|---|---|---|
//! | [`new`] | `Ok` | `Err` | an error that was [classified](steadfast_core::Classified) so |
//! | [`http`] | a status below 500 but for those at the right | 5xx, 421, 425, an error, a body that breaks | 401, 402, 403, 408, 413, 429, 498 |
//! | [`grpc`] | `OK`, and codes by which a server refuses a call | `UNKNOWN`, `INTERNAL`, `DATA_LOSS`, `UNAVAILABLE`, `DEADLINE_EXCEEDED`, in the head or in the trailers | `CANCELLED`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED` |
//!
//! Of the 5xx, 501 and 505 are successes: the server works and says so. [`classify_with`] and
//! [`classifier`] change these rules.
//!
//! With [`http`] an attempt is settled at its head, since its body may be a stream of minutes:
//! failures, which come at the head, would else meet no success until the first stream has ended. If
//! the body breaks later, the success is taken back: there is a failure in the place of the newest one
//! in every window, and the row of failures goes on unless another success has ended it. A body that is read to its end or
//! dropped leaves all as it was. With [`grpc`] a head without a status is taken for a success in the
//! same way until the status comes, and stays one if that is neutral. A probe gives its place back at its head, and counts there, with
//! [`grpc`] when its status comes; if its body breaks, it is one more failure. What was admitted
//! before the breaker opened changes nothing any more.
//!
//! [`new`]: CircuitBreakerLayer::new
//! [`http`]: CircuitBreakerLayer::http
//! [`grpc`]: CircuitBreakerLayer::grpc
//! [`classify_with`]: CircuitBreakerLayer::classify_with
//! [`classifier`]: CircuitBreakerLayer::classifier
//!
//! # Defaults
//!
//! | Setting | Default | Reason |
//! |---|---|---|
//! | [`consecutive_failures`](CircuitBreakerBuilder::consecutive_failures) | 5 | at 1 % noise, one false alarm in ten thousand million requests |
//! | [`failures_of_last`](CircuitBreakerBuilder::failures_of_last) | off | what fails half of the time is better than nothing if there is nowhere else to go |
//! | [`excess_failures`](CircuitBreakerBuilder::excess_failures), [`failure_rate`](CircuitBreakerBuilder::failure_rate), [`slow_calls`](CircuitBreakerBuilder::slow_calls), [`ramp`](CircuitBreakerBuilder::ramp) | off | the same |
//! | [`rate_limits`](CircuitBreakerBuilder::rate_limits) | neutral | what refuses works |
//! | [`recovery_timeout`](CircuitBreakerBuilder::recovery_timeout) | 60 s | a restart usually fits in |
//! | [`max_recovery_timeout`](CircuitBreakerBuilder::max_recovery_timeout) | 5 min | no recovery goes unnoticed for longer, but for a hint |
//! | [`probes`](CircuitBreakerBuilder::probes) | 1 | what comes up again is asked by one attempt at a time |
//! | [`success_threshold`](CircuitBreakerBuilder::success_threshold) | 3 | one success may be luck |
//! | [`probe_timeout`](CircuitBreakerBuilder::probe_timeout) | 30 s | a probe that hangs must not block the recovery |
//! | [`jitter`](CircuitBreakerBuilder::jitter) | 0.1 | breakers that opened together must not probe together for ever |
//!
//! # Readiness, clones and dropped requests
//!
//! * `poll_ready` asks only the inner service. Whether a request is admitted is decided in `call`,
//!   so that readiness alone takes no place from a probe. With
//!   [`backpressure`](CircuitBreakerLayer::backpressure) the service is not ready while the breaker
//!   rejects, and its task is woken when an attempt may be admitted.
//! * A rejected request never reaches the inner service. What the inner service reserved for it
//!   when it said that it is ready stays reserved, for the next request of the same handle.
//! * Clones of a [`CircuitBreaker`] share one state. So do all services of one layer. A clone costs
//!   an allocation, since each has a reference count of its own for its permits: threads that use
//!   clones do not fight over one.
//! * A future that is dropped before it resolved is a cancelled attempt. It says nothing about the
//!   service, and a probe gives its place back. See
//!   [`abandoned_after`](CircuitBreakerLayer::abandoned_after) for timeouts outside of this layer.
//! * A body that is dropped is no failure.
//!
//! # Order
//!
//! ```text
//!  request ──▶ retry ──▶ breaker ──▶ timeout ──▶ client
//!          ◀──       ◀──         ◀──         ◀──
//! ```
//!
//! Outside of a timeout, so that what took too long is a failure and not a dropped future. Inside
//! of a retry, so that each attempt counts, and a retry that meets an open circuit learns from the
//! error when to come back. Inside of a concurrency limit: a request waits for it in either
//! place, but further in, what it reserved for a rejected request would stay reserved.
//!
//! # Lost connections
//!
//! Requests of HTTP/2 share a connection. If it is lost, fifty of them fail in one moment, and to
//! count fifty failures would open the breaker in front of a service that is fine. So of the
//! failures with the class [`Transport`](steadfast_core::Class::Transport) one counts for all that
//! come within a second and were admitted before the current row of failures began. Attempts that
//! begin after that and are lost too count each.
//!
//! # The cost of a healthy service
//!
//! While the breaker is closed and the last outcomes hold no failure, nor
//! [`excess_failures`](CircuitBreakerBuilder::excess_failures) any excess, an attempt costs one atomic
//! load to be admitted, one to be settled, and a reference count of the clone that it came through:
//! no lock, no clock, no allocation, and nothing is written that threads share. A rate counts each
//! call with a few atomics; one by time reads the clock as well, and the first call of each tenth of
//! its window takes a lock for two stores. An open breaker rejects without a lock and without an
//! allocation; the look at the clock is most of what that costs, and
//! [`CircuitBreaker::at`] takes the time from a caller that already has it.
//! Everything else takes a short lock, which is never held while code of a user runs.
//!
//! # Limits
//!
//! * A breaker knows one service. For many hosts, tenants or routes there is a [`BreakerRegistry`],
//!   and `steadfast-balance` gives each of its endpoints one.
//! * It does not rate limit: `429` is neutral unless [`rate_limits`](CircuitBreakerBuilder::rate_limits)
//!   says otherwise, and so is a quota that is spent.
//! * It does not retry, and it has no timer but that of a service with backpressure: half-open
//!   begins with the first attempt after the open time.
//! * `failures_of_last` counts outcomes and not seconds. A service that is asked once an hour is
//!   judged by what it did yesterday, unless its window is one of time.
//! * A probe whose place was reclaimed still runs, so more attempts than places may be under way.

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
    CircuitOpen, Detached, Permit,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
