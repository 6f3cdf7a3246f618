//! Measures the requests and attempts that pass through a service.
//!
//! A request that moved to a second endpoint is one request for its caller and two attempts for
//! the endpoints. A dashboard that mixes the two shows a wrong error rate. Therefore
//! [`MetricsLayer::requests`] measures requests as callers see them, and [`MetricsLayer::attempts`]
//! measures one endpoint, under separate names. Both follow a response to the end of its body. The
//! numbers go to the [`metrics`](https://docs.rs/metrics) facade, and from there to the exporter of
//! the application. [`EventMetrics`] adds the events of breakers and balancers.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use steadfast_metrics::{MetricsLayer, SECONDS_BUCKETS, describe};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! async fn answer(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(Full::from("data: [DONE]")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//!
//! // The recorder comes first: a layer keeps the recorder of its first request.
//! let prometheus = PrometheusBuilder::new()
//!     .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)?
//!     .install_recorder()?;
//! describe();
//!
//! let requests = MetricsLayer::requests();
//! let mut service = ServiceBuilder::new()
//!     .layer(requests.clone())
//!     // The place of retries and a balancer, between request and attempts.
//!     .layer(MetricsLayer::attempts("primary"))
//!     .service_fn(answer);
//!
//! let response = service.ready().await?.call(Request::new(())).await?;
//! assert_eq!(requests.snapshot().in_flight, 1, "the body is not read yet");
//! response.into_body().collect().await?;
//! assert_eq!(requests.snapshot().successful, 1);
//!
//! let text = prometheus.render();
//! assert!(text.contains(r#"steadfast_requests_total{outcome="success"} 1"#));
//! assert!(text.contains(r#"steadfast_attempts_total{endpoint="primary",outcome="success"} 1"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! Each start has exactly one end, at the event of the first matching row:
//!
//! | Event | Outcome |
//! |---|---|
//! | the head of a failed attempt | its class; its body may be kept for long and does not count |
//! | the body is read to its end, or reports its end | the class of the head |
//! | the body breaks | the class of its error, usually `transport` |
//! | the body is dropped | the class of the head |
//! | the service returns an error | the class of the error |
//! | the response future is dropped before the head | `cancelled` |
//!
//! The class is the class of the [`Verdict`](steadfast_core::Verdict) of a
//! [`ClassifyLayer`](steadfast_core::ClassifyLayer) next to the client. Without one, the
//! [`DefaultClassifier`](steadfast_core::DefaultClassifier) decides.
//!
//! The module [`names`] has a table of all metrics. [`MetricsLayer::snapshot`] returns the most
//! important numbers without a recorder. For exporters with fixed buckets there are
//! [`SECONDS_BUCKETS`] and [`ATTEMPTS_BUCKETS`]. The usual buckets of HTTP servers end at 10 s, too
//! early for completions.
//!
//! # Readiness, clones and dropped requests
//!
//! * The middleware is ready when the inner service is ready. Its errors are the errors of the
//!   inner service.
//! * Clones of a layer, all its services and their clones share one set of numbers.
//! * A dropped future or body is an end, as in the table. A body that is neither read nor dropped
//!   stays in flight.
//! * Install the recorder before the first request. A layer looks up its series at their first use
//!   and keeps them. So a request costs a few atomic operations, no lock and no allocation. A
//!   series that was looked up without a recorder stays silent.
//!
//! # Order
//!
//! ```text
//!  request ──▶ MetricsLayer::requests ──▶ retry ──▶ balance ─┬─▶ MetricsLayer::attempts("a") ──▶ client
//!                                                            └─▶ MetricsLayer::attempts("b") ──▶ client
//! ```
//!
//! Below the retries, a layer of requests would count each attempt as a request. A layer of
//! attempts belongs above the `ClassifyLayer` and the timeouts of an attempt: it needs their
//! verdicts. See [`MetricsLayer`] for the limits of the measurement.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod buckets;
mod describe;
mod events;
mod future;
mod handles;
mod key_labels;
mod layer;
pub mod names;
mod numbers;
mod running;
mod service;
mod snapshot;
mod tally;
mod token_usage;

pub use self::body::ResponseBody;
pub use self::buckets::{ATTEMPTS_BUCKETS, SECONDS_BUCKETS};
pub use self::describe::describe;
pub use self::events::EventMetrics;
pub use self::future::ResponseFuture;
pub use self::layer::MetricsLayer;
pub use self::service::Metrics;
pub use self::snapshot::Snapshot;
pub use self::token_usage::TokenUsage;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
