//! The rules of others.
//!
//! Each file restates the rule of one library or proxy with its default numbers. A test sends the
//! same calls through the crate itself, where a crate exists.

pub(super) mod breaker;
pub(super) mod envoy;
pub(super) mod failsafe;
pub(super) mod linkerd;
pub(super) mod recloser;
pub(super) mod tower_resilience;
