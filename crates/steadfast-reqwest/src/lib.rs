//! Connects `reqwest` with tower stacks: as the HTTP client below them, and as the interface above.
//!
//! [`Transport`] is a `reqwest::Client` as a service for `http::Request`, so proxies, certificates
//! and pools of an existing client stay in use below any layer. [`RequestBuilderExt`] sends a
//! request of `reqwest` through a stack, and returns a `reqwest::Response`. With the feature
//! `middleware`, `StackMiddleware` makes a stack the last middleware of `reqwest-middleware`: the
//! client of the builder then sends nothing. All of them are for reqwest 0.13.
//!
//! # Example
//!
//! ```
//! use reqwest::Client;
//! use steadfast_reqwest::{RequestBuilderExt, Transport};
//! use steadfast_retry::RetryOn429Layer;
//! use steadfast_testkit::{Hint, Reply, Upstream};
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! let upstream = Upstream::start().await?;
//! let http = Client::builder()
//!     .redirect(reqwest::redirect::Policy::none())
//!     .retry(reqwest::retry::never())
//!     .connect_timeout(Duration::from_secs(10))
//!     .build()?;
//! let stack = ServiceBuilder::new()
//!     .layer(RetryOn429Layer::new())
//!     .service(Transport::new(http.clone()));
//!
//! // The first attempt is refused.
//! upstream.next(Reply::rate_limited(Hint::RetryAfter(Duration::ZERO)));
//! let url = format!("{}/models", upstream.url());
//! let response = http.get(url).send_with(stack).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | Error of `reqwest` | Verdict |
//! |---|---|
//! | DNS, TCP or TLS failure | `Connect`: the request was not processed |
//! | refused HTTP/2 stream | `Connect`, without a breaker effect |
//! | failed body of the request | `CallerFault`, without a breaker effect |
//! | timeout of the client, other than `connect_timeout` | `Timeout` |
//! | request that cannot be built, such as a URI without a host | `CallerFault`, without a breaker effect |
//! | lack of descriptors, ports or memory | `Local` |
//! | any other | `Transport` |
//!
//! Each error is a [`Classified`](steadfast_core::Classified) over the `reqwest::Error`. The URL is
//! removed from the error, because its query may contain a credential.
//!
//! A request body of a transport must be `Send + Sync`, and the response has a `reqwest::Body`.
//!
//! A stack takes the timeout of a request as its [`Deadline`](steadfast_core::Deadline), unless the
//! extensions of the request contain a deadline. The extensions reach the layers.
//!
//! # Recommended settings of the client below
//!
//! The default client differs in each row but `timeout`.
//!
//! | Setting | Value | Reason |
//! |---|---|---|
//! | `redirect` | `Policy::none()` | a followed redirect is an attempt at an unknown endpoint |
//! | `retry` | `reqwest::retry::never()` | two retry layers multiply attempts |
//! | `timeout` | none | it covers the body as well, so it would cut long streams |
//! | `connect_timeout` | 10 s | a layer above cannot distinguish connecting from waiting, so only the client can bound it |
//!
//! # Readiness, clones and dropped requests
//!
//! A transport is always ready. Clones share the pool of the client. A dropped future cancels its
//! attempt: an HTTP/1.1 connection is closed, and a stream of HTTP/2 is reset.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
#[cfg(feature = "middleware")]
mod middleware;
mod request;
mod transport;

pub use self::error::StackError;
#[cfg(feature = "middleware")]
pub use self::middleware::StackMiddleware;
pub use self::request::{RequestBuilderExt, send};
pub use self::transport::{ResponseFuture, Transport};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
