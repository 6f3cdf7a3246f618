//! Simulates failing APIs, and checks the `tower_service::Service` contract of layers.
//!
//! [`Upstream`] is an OpenAI-compatible server on a real loopback socket. A [`Behavior`] decides
//! its answers and faults, and can change while requests are in flight. [`Contract`] is a service
//! under a layer. It panics if the layer breaks the contract of `tower_service::Service`.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use std::time::Duration;
//! use steadfast_testkit::{Hint, Quota, Reply, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::start().await?.named("primary");
//! let client = Client::builder(TokioExecutor::new()).build_http();
//! let ask = || {
//!     let body = Full::new(Bytes::from_static(br#"{"model": "m", "stream": true}"#));
//!     let request = Request::post(format!("{}/chat/completions", upstream.url())).body(body);
//!     client.request(request.expect("a well-formed request"))
//! };
//!
//! // The next request is refused, and the one after it loses its connection in mid-stream.
//! upstream.next(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(2))));
//! upstream.next(Reply::ok().cut_after(1));
//!
//! let refused = ask().await?;
//! assert_eq!(refused.status(), 429);
//! assert_eq!(refused.headers()["retry-after"], "2");
//!
//! let broken = ask().await?;
//! assert_eq!(broken.headers()["x-upstream"], "primary");
//! assert!(broken.into_body().collect().await.is_err());
//!
//! // From now on, as on a bad day.
//! upstream.set(Reply::status(503));
//! upstream.limit(Quota::new(600, Duration::from_secs(60)).burst(20));
//! assert_eq!(ask().await?.status(), 503);
//!
//! upstream.cut_off();
//! assert!(ask().await.is_err());
//! upstream.restore().await?;
//!
//! assert_eq!(upstream.counts().requests, 3);
//! assert!(upstream.log().iter().all(|request| request.header("authorization").is_none()));
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | To test | Use |
//! |---|---|
//! | an error, with the body of its provider | [`Reply::status`], [`Reply::dialect`] |
//! | a 429 with a hint of each provider, or none | [`Reply::rate_limited`] |
//! | a spent quota | [`Reply::quota_spent`] |
//! | a request quota with true hints | [`Upstream::limit`] |
//! | a reset before the head | [`Reply::reset`] |
//! | a silent or a slow server | [`Reply::silence`], [`Reply::latency`] |
//! | a slow first token, slow chunks | [`Reply::first_token`], [`Reply::chunk_delay`] |
//! | a stream that breaks, stalls, ends early, fails in an event | [`Reply::cut_after`] and the like |
//! | comments in a stream | [`Reply::comments`], [`Reply::keep_alive`] |
//! | anything else | [`Reply::raw`], [`Reply::raw_after`], [`Behavior::by`] |
//! | a closed port, a dead connection | [`Upstream::cut_off`], [`Upstream::kill_connections`] |
//! | a layer that calls a handle that is not ready | [`Contract`] |
//! | a layer that holds readiness, or loses it | [`Probe::report`], [`Contract::limit`] |
//! | a layer under a busy or failing service | [`Probe::hold`], [`Probe::fail_ready`] |
//! | many servers in memory, with exact times | [`net::Net`] |
//! | servers with limited slots | [`net::Gates`] |
//!
//! # Clocks
//!
//! All timers are tokio's. With a paused clock, the runtime advances the clock while all tasks are
//! idle: a latency of a minute takes no real time. Use a runtime with one thread for that. Absolute
//! times in headers come from the wall clock. [`Hint`] documents their reference.
//!
//! # Limits
//!
//! * No TLS, and no push, trailers or upgrades.
//! * A client should set `TCP_NODELAY`. Otherwise each HTTP/2 request with a body waits some 40 ms
//!   for the operating system, with this server as with any.
//! * Requests are not checked. A body that is no JSON gets an answer as well.

mod behavior;
mod bucket;
mod contract;
mod counts;
mod dialect;
mod hint;
pub mod net;
mod quota;
#[cfg(doctest)]
mod readme;
mod received;
mod reply;
mod sync;
mod upstream;
mod wire;

pub use self::behavior::Behavior;
pub use self::bucket::Bucket;
pub use self::contract::{Contract, ContractFuture, Probe, Report};
pub use self::counts::Counts;
pub use self::dialect::Dialect;
pub use self::hint::Hint;
pub use self::quota::Quota;
pub use self::received::Received;
pub use self::reply::Reply;
pub use self::upstream::Upstream;
