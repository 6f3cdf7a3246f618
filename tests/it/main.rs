//! Stacks of several layers, by user story. `tests/README.md` lists the file of each behaviour.

mod adversary;
#[cfg(target_os = "linux")]
mod attacks;
mod config_keys;
mod configuration;
mod connections;
mod contract;
#[cfg(unix)]
mod descriptors;
mod failover;
mod gateway;
mod guides;
mod hedging;
mod large_bodies;
mod outages;
mod overload;
mod rate_limits;
mod rejections;
mod secrets;
mod slow;
mod soak;
mod streaming;
mod timeouts;
mod typed_clients;
