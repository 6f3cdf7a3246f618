//! The tests of the crate, one module per behaviour.

mod backpressure;
mod contract;
mod early_probes;
mod grpc;
mod http;
mod layer;
mod lost_connections;
mod manual;
mod model;
mod observers;
mod peer_faults;
mod states;
mod streams;
mod support;
mod taken_back;
mod threads;
mod trip_rules;
