//! Measures requests and attempts on their way through a service.
//!
//! A request that moved to a second endpoint was one request for its caller and two attempts for
//! the endpoints, and a dashboard that mixes the two shows an error rate that nobody had. So
//! [`MetricsLayer::requests`] measures what callers see and [`MetricsLayer::attempts`] what one
//! endpoint does, each under names of its own. Both follow a response to the end of its body. The
//! numbers go to the [`metrics`](https://docs.rs/metrics) facade, and so to the exporter of the
//! application; [`EventMetrics`] adds what breakers and balancers tell.
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
//! // The recorder comes first: a layer keeps the one that it finds at its first request.
//! let prometheus = PrometheusBuilder::new()
//!     .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)?
//!     .install_recorder()?;
//! describe();
//!
//! let requests = MetricsLayer::requests();
//! let mut service = ServiceBuilder::new()
//!     .layer(requests.clone())
//!     // Retries and a balancer have their place here, between request and attempts.
//!     .layer(MetricsLayer::attempts("primary"))
//!     .service_fn(answer);
//!
//! let response = service.ready().await?.call(Request::new(())).await?;
//! assert_eq!(requests.snapshot().in_flight, 1, "its body was not read yet");
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
//! Each start has exactly one end:
//!
//! | What happens | Outcome | When it ends |
//! |---|---|---|
//! | the head of an attempt that did not succeed | its class | then, as its body may be kept for long |
//! | the body is read to its end, or says that it is at its end | the class of the head | then |
//! | the body breaks | the class of its error, `transport` mostly | then |
//! | the body is dropped | the class of the head | then |
//! | the service returns an error | the class of the error | then |
//! | the response future is dropped before the head | `cancelled` | then |
//!
//! The class is that of the [`Verdict`](steadfast_core::Verdict) which the classifier next to the
//! client left. Without one, the [`DefaultClassifier`](steadfast_core::DefaultClassifier) reads
//! status and headers; [`MetricsLayer::classifier`] replaces it.
//!
//! # Metrics
//!
//! The names are constants in [`names`]. In the first part of the table the metrics of attempts
//! have the label `endpoint` as well. The labels `outcome` and `class` have the 14 values of
//! [`Class::as_str`](steadfast_core::Class::as_str), the label `to` of a transition has 3, and the
//! names of endpoints and breakers are those of the configuration, with the address where endpoints
//! come from a name. No label is made of what a request or a server says.
//!
//! | Name | Type, unit | Labels | What it counts | When the caller leaves |
//! |---|---|---|---|---|
//! | `steadfast_requests_started_total`, `steadfast_attempts_started_total` | counter | – | calls | counted: it is up at the call |
//! | `steadfast_requests_total`, `steadfast_attempts_total` | counter | `outcome` | ends | before the head `cancelled`, after it the class of the head |
//! | `steadfast_requests_in_flight`, `steadfast_attempts_in_flight` | gauge | – | calls without an end | down at the drop |
//! | `steadfast_request_duration_seconds`, `steadfast_attempt_duration_seconds` | histogram, s | `outcome` | time from the call to the end of the body, or to the error | time until the drop, under the outcome of the row above |
//! | `steadfast_request_head_seconds`, `steadfast_attempt_head_seconds` | histogram, s | `outcome` | time to the head, under its class, also if the body breaks later; nothing for an error | nothing before the head |
//! | `steadfast_request_attempts` | histogram, attempts | – | attempts of a request, at its end; 0 if no endpoint could take it | nothing before the head; its attempts are in `steadfast_attempts_total` |
//! | `steadfast_request_failovers_total` | counter | – | moves to another endpoint, at the end of the request | nothing before the head |
//! | `steadfast_breaker_state` | gauge: 0 closed, 1 open, 2 half-open | `endpoint` | the state since the last transition; no series before the first one | a cancelled probe changes nothing |
//! | `steadfast_breaker_transitions_total` | counter | `endpoint`, `to` | transitions | as above |
//! | `steadfast_cooldowns_total` | counter | `endpoint`, `class` | cooldowns that began | stays counted |
//! | `steadfast_cooldown_seconds` | histogram, s | `endpoint` | how long they were set to last | stays counted |
//! | `steadfast_hedges_total` | counter | `from`, `to` | further attempts while the first had not answered, when they are sent | stays counted |
//! | `steadfast_failovers_total` | counter | `from`, `to`, `class` | moves to another endpoint, at once | stays counted |
//! | `steadfast_retries_total` | counter | `class` | waits before a next attempt | counted, though the attempt may never come |
//! | `steadfast_exhausted_total` | counter | – | times when no endpoint could take a request | stays counted |
//!
//! The first part comes from [`MetricsLayer`], the part from `steadfast_breaker_state` on from
//! [`EventMetrics`]. Started is always ended plus in flight. Where an exporter makes histograms
//! of fixed buckets, [`SECONDS_BUCKETS`] and [`ATTEMPTS_BUCKETS`] suit these; the usual buckets of
//! HTTP servers end at 10 s, where a completion has just begun.
//!
//! [`MetricsLayer::snapshot`] returns the most important numbers without any recorder.
//!
//! # Readiness, clones and dropped requests
//!
//! * The middleware is ready when the inner service is, and its errors are those of the inner
//!   service.
//! * Clones of a layer, all services made by it and their clones share one set of numbers.
//! * Dropping a future or a body is one of the ends above. A body that is neither read nor dropped
//!   stays in flight.
//! * The recorder has to be installed before the first request. A layer looks its series up when it
//!   needs them first and keeps them, so that a plain request costs it a few atomic operations, no
//!   lock and no allocation. What it looked up without a recorder stays silent.
//!
//! # Order
//!
//! ```text
//!  request ──▶ MetricsLayer::requests ──▶ retry ──▶ balance ─┬─▶ MetricsLayer::attempts("a") ──▶ client
//!                                                            └─▶ MetricsLayer::attempts("b") ──▶ client
//! ```
//!
//! Inside of the retries a layer of requests would take each attempt for a request. A layer of
//! attempts belongs outside of the classifier and of the timeouts of an attempt, so that it sees
//! their verdicts.
//!
//! # Limits
//!
//! * A good response whose body the caller drops halfway is a success: nobody can know from
//!   outside whether a reader who stops has enough.
//! * An error that no classifier knows is `transport`, and one that is neither boxed nor one of
//!   [`steadfast_core`] cannot be looked into.
//! * A request that a breaker alone rejects counts as one attempt, `overloaded`. Only a balancer and a
//!   retry layer say how many there were.
//! * An exporter that forgets series which were idle, as that for Prometheus does with an
//!   `idle_timeout`, forgets those of a layer for good: it looks them up once. Exempt `steadfast_*`,
//!   whose labels are few.
//! * Token counts and models are not measured. They are in bodies, which pass unread.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod describe;
mod events;
mod future;
mod handles;
mod layer;
pub mod names;
mod numbers;
mod running;
mod service;
mod snapshot;
mod tally;

pub use self::describe::{ATTEMPTS_BUCKETS, SECONDS_BUCKETS, describe};
pub use self::events::EventMetrics;
pub use self::future::ResponseFuture;
pub use self::layer::MetricsLayer;
pub use self::running::ResponseBody;
pub use self::service::Metrics;
pub use self::snapshot::Snapshot;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
