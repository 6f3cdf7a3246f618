//! The rules of others.

pub(super) mod breaker;
pub(super) mod envoy;
pub(super) mod failsafe;
pub(super) mod linkerd;
pub(super) mod recloser;
pub(super) mod tower_resilience;
