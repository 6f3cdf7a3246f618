//! Defines the shared vocabulary of the steadfast layers.
//!
//! A retry layer, a circuit breaker, a balancer and a metrics layer work together only if they
//! agree on the meaning of an answer. This crate holds that agreement: the outcome of an attempt
//! ([`Verdict`]), the hint of an endpoint ([`RateLimit`]), the attempts of a request ([`Trail`])
//! and the time limit of its caller ([`Deadline`]). Users of a layer need this crate only to change
//! a rule. Authors of a layer find building blocks in [`layer`].
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
//! # Flow of information
//!
//! Layers exchange information in extensions and errors, without global state:
//!
//! | Place | Type | Written by | Read by |
//! |---|---|---|---|
//! | request extensions | [`Deadline`] | the caller, any layer | retry, balance, hedge, timeouts |
//! | request extensions | [`LimitKey`] | the caller, any layer | balance |
//! | request extensions | [`RoutingOptions`] | the caller, any layer | balance, hedge |
//! | request extensions | [`Trail`] | retry | retry, balance |
//! | response extensions | [`Verdict`] | [`ClassifyLayer`], next to the client | all layers |
//! | response extensions | [`layer::LateVerdict`] | a layer that reads the events of a stream | all layers |
//! | response extensions | [`Trail`] | retry, after more than one attempt | metrics, the caller |
//! | errors | [`Classified`] | [`ClassifyLayer`] | all layers |
//! | errors | [`Exhausted`] | retry, balance | all layers, the caller |
//!
//! Without a [`Verdict`], a layer applies the [`DefaultClassifier`], so each layer works alone. A
//! plain success of a first attempt adds nothing to the extensions of its response.
//!
//! # Changing a rule
//!
//! * Classification: a [`ClassifyLayer`] with [`classify_fn`] or an own [`Classify`].
//! * Requests that are safe to repeat: [`Safety`].
//! * The price of retries: [`RetryBudget`].
//! * Notifications: an [`Observer`] of [`Event`]s.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod breaker_state;
mod budget;
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
mod limit_key;
mod rate_limit;
mod retry_after;
mod rounded;
mod routing;
mod safety;
#[cfg(feature = "serde")]
mod serde;
mod stable_hash;
mod time;
mod trail;
mod unknown_endpoint;
mod unknown_name;
mod verdict;

pub use self::breaker_state::BreakerState;
pub use self::budget::{RetryBudget, Withdrawal};
pub use self::class::{BreakerEffect, Class, OtherEndpoint, SameEndpoint};
pub use self::classify::{Classify, ClassifyFn, DefaultClassifier, Head, classify_fn};
pub use self::classify_layer::{ClassifyFuture, ClassifyLayer, ClassifyService};
pub use self::deadline::Deadline;
pub use self::endpoint::EndpointName;
pub use self::event::{Event, Observer, observer_fn};
pub use self::exhausted::Exhausted;
pub use self::hint::hint_in_text;
pub use self::invalid::InvalidConfig;
pub use self::layer::chain::find_error;
pub use self::limit_key::LimitKey;
pub use self::rate_limit::{Bucket, RateLimit, Reset, Unit};
pub use self::routing::RoutingOptions;
pub use self::safety::Safety;
pub use self::trail::{Attempt, Trail};
pub use self::unknown_endpoint::UnknownEndpoint;
pub use self::unknown_name::UnknownName;
pub use self::verdict::{Classified, Scope, Verdict};

/// A type-erased error, the same type as `tower::BoxError`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
