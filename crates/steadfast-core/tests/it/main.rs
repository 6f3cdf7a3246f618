//! Behaviour of the crate through its public API.

mod classify_layer;
mod contract;
