//! The typed client of `async-openai` over a tower stack.
//!
//! [`client`] installs a stack by the hook of `async-openai` for tower services. The stack replaces
//! the HTTP client and the retries of `async-openai`. Chat completions, streams, embeddings,
//! responses and all other calls go through it.
//!
//! # Example
//!
//! With `AiStack` of the crate `steadfast`, the call is `client(ai)`. Any service for
//! `http::Request` works:
//!
//! ```
//! use async_openai::config::OpenAIConfig;
//! use steadfast_reqwest::Transport;
//! use steadfast_retry::RetryOn429Layer;
//! use steadfast_testkit::{Hint, Reply, Upstream};
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! let upstream = Upstream::start().await?;
//! let stack = ServiceBuilder::new()
//!     .layer(RetryOn429Layer::new())
//!     .service(Transport::default());
//! let config = OpenAIConfig::new().with_api_base(upstream.url()).with_api_key("sk-0123456789");
//! let client = steadfast_async_openai::client_with_config(stack, config);
//!
//! // The first attempt is refused.
//! upstream.next(Reply::rate_limited(Hint::RetryAfter(Duration::ZERO)));
//! let models = client.models().list().await?;
//! assert!(!models.data.is_empty());
//! assert_eq!(upstream.counts().requests, 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | Outcome of the stack | Result of the call |
//! |---|---|
//! | success | the typed answer |
//! | a refused response, such as the last `429` | `OpenAIError::ApiError` with the status, code and message of the provider |
//! | no response | `OpenAIError::Boxed` over a [`StackError`](steadfast_reqwest::StackError); `Exhausted::find(&error)` has the reasons of all endpoints |
//! | a stream that breaks after its first visible token | `OpenAIError::StreamError` in the stream |
//!
//! A request is built once. The stack repeats it, and each repeat sends the same bytes.
//!
//! # Readiness, clones and dropped requests
//!
//! Each call waits until a clone of the stack is ready. Clones of the client share the stack. A
//! dropped call drops the future of the stack.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod service;

pub use self::client::{client, client_with_config};
pub use self::service::{HttpService, ResponseFuture};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
