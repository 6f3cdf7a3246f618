//! Sends a second attempt to another endpoint when the first one is slow.
//!
//! A few answers take many times longer than the others. [`HedgeLayer`] belongs above a balancer.
//! It measures how long successes take, and starts a second attempt for a request that takes longer
//! than most. The first success is returned, and the other attempt is dropped. Second attempts are
//! limited to a share of all requests.
//!
//! See [`HedgeLayer`] for an example, the rules and the defaults.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod copy;
mod digest;
mod future;
mod layer;
mod rules;
mod running;
mod service;
mod share;

pub use self::copy::{Cloned, CopyBody, CopyBodyFn};
pub use self::future::HedgeFuture;
pub use self::layer::HedgeLayer;
pub use self::service::Hedge;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
