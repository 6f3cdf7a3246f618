//! Keeps an AI application answering although a provider says `429`, is slow or is down.
//!
//! [`AiStack`] is one HTTP client made of several endpoints. A request that one of them refuses
//! is taken by the next within microseconds; an endpoint that is limited is left alone until it is
//! ready again; one that is broken is asked by a few probes only; and a stream moves on as long as
//! its reader has seen nothing of it. Each of its layers is useful alone, over any HTTP client.
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use steadfast::{AiStack, ApiKey, BoxError, Endpoint, Timeouts};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let upstream = steadfast_testkit::Upstream::start().await?;
//! # let (primary_url, backup_url) = ("http://127.0.0.1:1/v1".to_owned(), upstream.url());
//! # let secret = "sk-0123456789";
//! let key = ApiKey::new(secret)?;
//! let ai = AiStack::builder()
//!     .endpoint(Endpoint::new("primary", &primary_url)?.api_key(key.clone()))
//!     .endpoint(Endpoint::new("backup", &backup_url)?.api_key(key))
//!     .timeouts(Timeouts::MEDIUM)
//!     .build()?;
//!
//! let request = Request::post("/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#.to_owned())?;
//! let response = ai.send(request).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! A stack is also a tower service for `http::Request<B>` of any body, so it goes where a client
//! goes: into a handler, under other layers, or behind a server of its own (see the gateway among
//! the examples).
//!
//! # What happens to a request
//!
//! ```text
//!  request
//!    ▼
//!  metrics          one record a request
//!  retry            keeps the body, decides whether and when to try again
//!  balance          picks an endpoint, rewrites the URI, adds its credential, keeps its state
//!    ▼ one service per endpoint
//!  metrics          one record an attempt
//!  edge             timeouts; what the answer means, by its status, headers, body or first events
//!    ▼
//!  HTTP client
//! ```
//!
//! | An endpoint | The request | The endpoint itself |
//! |---|---|---|
//! | answers `429` | goes to the next one at once | cools for as long as it asked |
//! | has spent its quota | goes to the next one | is left alone for 30 min |
//! | cannot be reached, fails, is silent | goes to the next one | its breaker counts a failure |
//! | streams an error, nothing, or half before the first visible token | goes to the next one | the same |
//! | breaks a stream later | ends in an error, as its reader has seen a part | the same |
//! | answers `400`, or rejects the content | gets that answer | works |
//! | rejects its key | goes to one with another key | after three in a row it is left alone |
//!
//! With nobody left the request waits for the soonest one to come back, if that fits its
//! [`Deadline`], or 30 s in all without one. What it gets in the end is the last answer of the
//! lowest tier that was tried, as it came, with the [`Trail`] in its extensions; and without any
//! answer [`Exhausted`].
//!
//! Paths that mean something at one endpoint only (files, batches, threads, stored responses) stay
//! at the first one, and wait for it if it cools. Once that is removed they go to the one which is the first then.
//! The caller's own credentials reach no endpoint that is not told to [pass them on](Endpoint::pass_credentials).
//!
//! # Defaults
//!
//! | What | Default |
//! |---|---|
//! | attempts | 3; moving on after a refusal is not counted |
//! | waits without a deadline | 30 s in all |
//! | bodies that are kept for further attempts | 1 MiB; a larger one is sent once |
//! | breaker of an endpoint | 7 failures in a row, or 6 more than 22 % of the calls; open for 5 s, doubling to 20 s |
//! | timeouts | see [`Timeouts`] |
//!
//! The reasons are with each layer: [`retry`](crates::retry), [`balance`](crates::balance) and
//! [`breaker`](crates::breaker).
//!
//! Error bodies are read up to 64 KiB and for 250 ms; the first events of a stream up to 64 of them,
//! 256 KiB, or the first visible token. `accept-encoding` is set to `identity`, so that they can be
//! read.
//!
//! # Readiness, clones and dropped requests
//!
//! * A stack is always ready. Its clones share everything.
//! * Dropping the future ends the attempt that is under way, gives back what it reserved, and says
//!   nothing about the endpoint. Dropping the body of a response leaves the verdict of its head.
//! * A request is in flight until its response body has ended or was dropped. A reader of a stream
//!   who stops at its last event has read all of it.
//!
//! # Retries elsewhere
//!
//! An SDK above this stack, or a proxy below it, that retries on its own multiplies attempts and
//! delays failover. Switch that off: `max_retries = 0` in most SDKs.
//!
//! # Features
//!
//! | Feature | What it adds |
//! |---|---|
//! | `client` (default) | [`AiStackBuilder::build`]: a client of hyper-util with TLS by rustls |
//! | `config` | the `config` module: a stack from a configuration file, by serde |
//! | `discover` | endpoints from a stream or from a DNS name |
//! | `health` | health checks of endpoints |
//! | `hedge` | [`AiStackBuilder::hedge`]: a second attempt for slow requests |
//! | `serde` | serde for [`Timeouts`], [`Snapshot`] and [`EndpointStatus`] |
//! | `full` | all of them |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod api_key;
mod attempt_timeout;
mod body;
mod builder;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "config")]
pub mod config;
pub mod crates;
mod dialect;
#[cfg(feature = "serde")]
mod duration;
mod edge;
mod ext;
#[cfg(feature = "hedge")]
mod hedging;
#[cfg(not(feature = "hedge"))]
#[path = "no_hedging.rs"]
mod hedging;
mod operation;
mod prepare;
pub mod presets;
mod respond;
mod stack;
mod timeouts;

pub use self::api_key::{ApiKey, InvalidApiKey};
pub use self::attempt_timeout::{AttemptTimeout, TimeoutPhase};
pub use self::body::{AnyBody, RequestBody, ResponseBody};
pub use self::builder::AiStackBuilder;
#[cfg(feature = "client")]
pub use self::client::{DefaultClient, TimeoutConnector, default_client};
pub use self::edge::StreamBroken;
pub use self::ext::{RequestExt, ServiceBuilderExt};
pub use self::respond::error_response;
pub use self::stack::AiStack;
pub use self::timeouts::Timeouts;

pub use steadfast_balance::{
    Candidate, Candidates, Credential, Endpoint, EndpointBalanceLayer, EndpointMode,
    EndpointStatus, Pick, PickContext, PoolHandle, QuotaWindow, Sample, Scored, Strategy,
    WhenExhausted,
};
pub use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen};
pub use steadfast_core::{
    BoxError, Class, Classified, Classify, ClassifyLayer, Deadline, DefaultClassifier,
    EndpointName, Event, Exhausted, InvalidConfig, Observer, RetryBudget, RoutingOptions, Trail,
    Verdict, classify_fn, find_error, observer_fn,
};
#[cfg(feature = "hedge")]
pub use steadfast_hedge::HedgeLayer;
pub use steadfast_metrics::{MetricsLayer, Snapshot};
pub use steadfast_retry::{Backoff, Jitter, RetryOn429Layer, RetryOverride};
