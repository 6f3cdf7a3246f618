//! The behaviour of `RetryOn429Layer`.

mod support;

mod attempts;
mod balancer;
mod bodies;
mod budget;
mod contract;
mod outcomes;
mod settings;
mod spans;
