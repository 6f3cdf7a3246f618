//! Gives the steadfast layers their shared words.
//!
//! A retry layer, a circuit breaker, a balancer and a metrics layer work well together only if
//! they agree on what an answer means. This crate holds that agreement: what an attempt showed
//! ([`Verdict`]), how long an endpoint asks to be left alone ([`RateLimit`]), what happened to a
//! request so far ([`Trail`]), and how long its caller waits for it ([`Deadline`]). Users of a
//! single layer meet it only where they change a rule.
//!
//! # Example
//!
//! ```
//! use http::{HeaderMap, StatusCode};
//! use std::time::Duration;
//! use steadfast_core::{Class, Classify, DefaultClassifier, Head};
//!
//! let headers = HeaderMap::from_iter([("retry-after".parse()?, "1.5".parse()?)]);
//! let head = Head::new(StatusCode::TOO_MANY_REQUESTS, &headers);
//!
//! let verdict = DefaultClassifier.classify(Ok(head));
//! assert_eq!(verdict.class(), Class::RateLimited);
//! assert_eq!(verdict.hint(), Some(Duration::from_millis(1500)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How the layers talk
//!
//! | Where | What | Written by | Read by |
//! |---|---|---|---|
//! | request extensions | [`Deadline`] | anybody | retry, balance |
//! | request extensions | [`Trail`] | retry | retry, balance |
//! | response extensions | [`Verdict`] | the classifier next to the client | every layer |
//! | response extensions | [`LateVerdict`](layer::LateVerdict) | the same, for a stream whose events it reads | every layer |
//! | response extensions | [`Trail`] | retry, after more than one attempt | metrics, the caller |
//! | errors | [`Classified`], [`Exhausted`] | the edge; retry and balance | every layer, the caller |
//!
//! Where there is no [`Verdict`], a layer asks the [`DefaultClassifier`], so each of them works
//! alone. A plain success of a first attempt puts nothing into the extensions of its response.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod breaker_state;
mod budget;
mod chain;
mod class;
mod classify;
mod classify_layer;
mod deadline;
mod endpoint;
mod event;
mod exhausted;
mod hint;
mod invalid;
pub mod layer;
mod rate_limit;
mod routing;
mod safety;
#[cfg(feature = "serde")]
mod serde;
mod stable_hash;
mod time;
mod trail;
mod unavailable;
mod unknown_endpoint;
mod unknown_name;
mod verdict;

pub use self::breaker_state::BreakerState;
pub use self::budget::{RetryBudget, Withdrawal};
pub use self::chain::find_error;
pub use self::class::{BreakerEffect, Class, OtherEndpoint, SameEndpoint};
pub use self::classify::{Classify, ClassifyFn, DefaultClassifier, Head, classify_fn};
pub use self::classify_layer::{ClassifyFuture, ClassifyLayer, ClassifyService};
pub use self::deadline::Deadline;
pub use self::endpoint::EndpointName;
pub use self::event::{Event, Observer, observer_fn};
pub use self::exhausted::Exhausted;
pub use self::hint::hint_in_text;
pub use self::invalid::InvalidConfig;
pub use self::rate_limit::{Bucket, RateLimit, Reset, Unit};
pub use self::routing::RoutingOptions;
pub use self::safety::Safety;
pub use self::trail::{Attempt, Trail};
pub use self::unknown_endpoint::UnknownEndpoint;
pub use self::unknown_name::UnknownName;
pub use self::verdict::{Classified, Verdict};

// Until every crate has moved to `layer`.
#[doc(hidden)]
pub use self::classify::{verdict_of, verdict_of_error};
#[doc(hidden)]
pub use self::layer::{
    End, LateVerdict, Next, Observers, OnEnd, Watched, saturating_add, unavailable,
};

/// A type-erased error, the same type as `tower::BoxError`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
