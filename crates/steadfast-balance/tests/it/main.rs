//! Integration tests of the balancer, one module per behaviour.

mod breaker;
mod broken_pool;
mod contract;
mod cooldown;
#[cfg(feature = "discover")]
mod discover;
mod exhausted;
mod failover;
#[cfg(feature = "health")]
mod health;
mod limit_keys;
mod pool_changes;
mod queue;
mod random;
mod resolve;
mod response_end;
mod rewrite;
mod select;
mod support;
mod threads;
mod tiers;
mod with_retry;
