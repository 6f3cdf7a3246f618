//! Keeps an AI application working while a provider is rate limited, slow or down.
//!
//! [`AiStack`] is one HTTP client over several endpoints. After a refusal, the request goes to the
//! next endpoint within microseconds. A rate-limited endpoint cools until it is ready, a broken one
//! gets only probes, and a stream fails over until its first visible token. Each layer also works
//! alone over any HTTP client.
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
//! A stack is a tower service for `http::Request<B>` with any body. [`RequestExt`] has the settings
//! of one request, and [`ServiceBuilderExt`] adds single layers to a stack of yours.
//!
//! # Behavior
//!
//! | Event at an endpoint | Effect on the request | Effect on the endpoint |
//! |---|---|---|
//! | `429` | goes to the next endpoint at once | cools for the hint |
//! | spent quota | goes to the next endpoint | is benched |
//! | connect failure, server error, timeout | goes to the next endpoint | a failure of its breaker |
//! | stream without a visible token | goes to the next endpoint | a failure of its breaker |
//! | stream that breaks later | ends with an error, unless it is [`Buffered`](StreamMode). [A server](AiStack::with_error_event) adds an event | a failure of its breaker |
//! | `400`, rejected content | gets this response | a success |
//! | rejected credential | goes to another credential | is benched after three in a row |
//!
//! If all endpoints are limited, a request waits if the hint fits its [`Deadline`] (30 s if none).
//! If all breakers are open, it waits for a probe (1 s at most). The result is the last response of
//! the lowest tier tried, with the `retry-after` of the soonest endpoint and its [`Trail`], or else
//! [`Exhausted`], which [`AiStack::error_response`] converts to a response of the API.
//!
//! A request that names stored state goes to the endpoint that created it for this caller. The
//! caller's credentials reach an endpoint only with [`Endpoint::pass_credentials`].
//!
//! # Defaults
//!
//! | Setting | Default |
//! |---|---|
//! | attempts | 3; failover after a refusal is not counted |
//! | waits without a deadline | 30 s in total |
//! | bodies kept for retries | 1 MiB; a larger body is sent once |
//! | breaker of an endpoint | see [`Endpoint::default_breaker`] |
//! | limits of an attempt | see [`Timeouts`] |
//!
//! Error bodies are read up to 64 KiB and for 250 ms, and a preamble up to 64 events or 256 KiB.
//! `accept-encoding` is set to `identity`, since encoded events could not be read. If a server
//! ignores it, encoded streams pass unchecked, and without the feature `decode` encoded answers do.
//!
//! # Readiness, clones and dropped requests
//!
//! * A stack is always ready. Its clones share all state.
//! * A dropped future ends its attempts, and leaves the breaker unchanged.
//! * A request is in flight until its response body ends or is dropped. If the body is dropped, the
//!   verdict of the head stands.
//!
//! # Order
//!
//! ```text
//! request ─▶ metrics ─▶ retry ─▶ hedge ─▶ balance ─▶ (per endpoint: metrics ─▶ edge) ─▶ HTTP client
//! ```
//!
//! The edge applies [`Timeouts`] and classifies responses, unless a [`ClassifyLayer`] is around the
//! client of [`AiStackBuilder::build_on`]. Final errors carry `x-should-retry: false` against SDKs.
//!
//! # Features
//!
//! | Feature | Adds |
//! |---|---|
//! | `client` (default) | `AiStackBuilder::build` with a hyper-util client and rustls; implies `hyper-errors` |
//! | `config`, `schema` | the module `config`: a stack from a configuration file; its JSON schema |
//! | `decode` | gzip, deflate, brotli and zstd: compressed answers and request bodies are inspected, too |
//! | `discover`, `health` | endpoints from a stream or a DNS name; health checks |
//! | `hedge`, `models` | `AiStackBuilder::{hedge, catalogue, route}`: second attempts; checked and routed models |
//! | `hyper-errors` | verdicts on errors of hyper, hyper-util, h2 and of clients on top, such as reqwest |
//! | `serde` | serde for [`Timeouts`], [`Snapshot`] and [`EndpointStatus`] |
//! | `async-openai`, `reqwest`, `reqwest-middleware` | the modules `async_openai` and `reqwest`: adapters |
//! | `full` | all of them but `schema`, the adapters and `tokenizer` (tokens of prompts, counted) |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answers;
mod api_key;
mod body;
mod builder;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "config")]
pub mod config;
mod content_type;
pub mod crates;
mod dialect;
#[cfg(feature = "serde")]
mod duration;
mod edge;
mod encoding;
mod error_format;
mod ext;
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "hedge")]
mod hedging;
#[cfg(not(feature = "hedge"))]
#[path = "no_hedging.rs"]
mod hedging;
mod homes;
mod json;
mod keep_alive;
mod limit_key;
mod model_field;
mod notes;
mod operation;
mod prepare;
mod provider;
mod rejection;
mod respond;
#[cfg(feature = "models")]
mod routing;
#[cfg(not(feature = "models"))]
#[path = "no_routing.rs"]
mod routing;
mod scan;
mod stack;
mod state_id;
mod takers;
mod timeouts;
mod tokens;

pub use self::answers::{Answers, StreamMode};
pub use self::api_key::{ApiKey, InvalidApiKey};
pub use self::body::{AnyBody, RequestBody, ResponseBody};
pub use self::builder::AiStackBuilder;
#[cfg(feature = "client")]
pub use self::client::DefaultClient;
pub use self::edge::StreamBroken;
pub use self::ext::{RequestExt, ServiceBuilderExt};
pub use self::provider::Provider;
pub use self::respond::error_response;
pub use self::stack::AiStack;
pub use self::timeouts::Timeouts;
pub use self::tokens::TokenSource;

/// For `steadfast-chat`, which has the public reader of events.
#[doc(hidden)]
pub mod sse {
    pub use crate::edge::{Events, SseEvent};
}
#[doc(hidden)]
pub use self::dialect::dialect_texts;

#[cfg(feature = "async-openai")]
pub use steadfast_async_openai as async_openai;
pub use steadfast_balance::{
    Endpoint, EndpointBalanceLayer, EndpointStatus, Pick, PoolHandle, Strategy, WhenExhausted,
    pick_fn,
};
pub use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen};
pub use steadfast_core::{
    BoxError, Class, Classify, ClassifyLayer, Deadline, DefaultClassifier, EndpointName, Event,
    Exhausted, InvalidConfig, Observer, RetryBudget, RoutingOptions, Trail, Verdict, classify_fn,
    find_error, observer_fn,
};
pub use steadfast_edge::{AttemptTimeout, TimeoutPhase};
#[cfg(feature = "hedge")]
pub use steadfast_hedge::HedgeLayer;
pub use steadfast_metrics::{MetricsLayer, Snapshot};
#[cfg(feature = "models")]
pub use steadfast_models as models;
#[cfg(feature = "reqwest")]
pub use steadfast_reqwest as reqwest;
pub use steadfast_retry::{Backoff, RetryOn429Layer, RetryOverride};
