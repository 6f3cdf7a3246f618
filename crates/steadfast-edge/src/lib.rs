//! Classifies the errors of an HTTP client, and limits the time of each attempt.
//!
//! Only the layer next to a client can distinguish a failed connect from a lost connection, or the
//! caller's own body from a failed endpoint. [`ClientErrors`] and [`GrpcErrors`] are classifiers
//! for the [`ClassifyLayer`](steadfast_core::ClassifyLayer). [`AttemptTimeoutLayer`] bounds the
//! time to the head, each read of the body (60 s by default), and all of it by the deadline of the
//! request. All layers further out read the verdicts, so a retry layer knows if a `POST` was sent,
//! and a breaker if the endpoint failed.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use http::{Request, Response};
//! use steadfast_core::ClassifyLayer;
//! use steadfast_edge::{AttemptTimeoutLayer, ClientErrors};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! # async fn send(_: Request<String>) -> Result<Response<String>, Infallible> {
//! #     Ok(Response::default())
//! # }
//! let client = ServiceBuilder::new()
//!     .layer(AttemptTimeoutLayer::new(Duration::from_secs(10)))
//!     .layer(ClassifyLayer::new(ClientErrors))
//!     .service_fn(send);
//! # client.oneshot(Request::new(String::new())).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | Error of the client | Feature | Class |
//! |---|---|---|
//! | failed lookup, connect or TLS handshake | `hyper`, `tonic` | `Connect`: never sent |
//! | refused HTTP/2 stream, or one above the last id of a GOAWAY | `hyper` | `Connect`, without an effect on a breaker |
//! | the body of the request failed, such as by its size limit | `hyper` | `CallerFault`, without an effect on a breaker |
//! | timeout of `reqwest` | `reqwest` | `Timeout` |
//! | request that `reqwest` cannot build | `reqwest` | `CallerFault`, without an effect on a breaker |
//! | `tower::timeout` | `tower` | `Timeout` |
//! | timeout of a `tonic` channel | `tonic` | `Timeout` |
//! | `tower::load_shed` | `tower` | `Local`: never sent |
//! | `tonic::Status` | `tonic` | the class of its code |
//! | lack of descriptors, ports or memory | – | `Local` |
//! | a layer's [`Classified`](steadfast_core::Classified) error | – | its verdict |
//! | all others | – | as the [`DefaultClassifier`](steadfast_core::DefaultClassifier) |
//!
//! # Readiness, clones and dropped requests
//!
//! The services are ready when the client is, and keep no state. A dropped future drops the
//! attempt.
//!
//! # Order
//!
//! ```text
//! request ──▶ retry ──▶ breaker ──▶ attempt timeout ──▶ classify ──▶ client
//! ```
//!
//! # Limits
//!
//! * Trailers come after the response was returned, so no layer repeats a call for them. `grpc` of
//!   `CircuitBreakerLayer` reads them.
//! * The deadline of a request ends its body as well. A stream that is to last longer needs none.
//! * A lost connection is `Transport`, even if the server read nothing of the request.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt_timeout;
mod errors;
#[cfg(feature = "tonic")]
mod grpc_status;
mod limit;
mod service;
mod timed;

pub use self::attempt_timeout::{AttemptTimeout, TimeoutPhase};
pub use self::errors::{ClientErrors, GrpcErrors, classified, classified_body};
#[cfg(feature = "tonic")]
pub use self::grpc_status::grpc_status;
pub use self::limit::Limit;
pub use self::service::{AttemptTimeoutLayer, AttemptTimeoutService, ResponseFuture};
pub use self::timed::{Clock, TimedBody};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
