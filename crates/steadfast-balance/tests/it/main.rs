//! Integration tests of the balancer, one module per behaviour.

mod balance;
mod breakers;
mod contract;
mod cooldowns;
mod exhausted;
#[cfg(feature = "discover")]
mod follow;
#[cfg(feature = "health")]
mod health;
mod live;
mod queue;
mod queue_threads;
mod random;
mod regressions;
mod resolve;
mod support;
mod threads;
mod tiers;
mod wishes;
mod with_retry;
