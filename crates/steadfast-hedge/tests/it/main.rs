//! The behaviour of `HedgeLayer`, alone and over the balancer.

mod support;

mod cancelled_loser;
mod contract;
mod cost;
mod delay;
mod dropped;
mod failures;
mod target;
