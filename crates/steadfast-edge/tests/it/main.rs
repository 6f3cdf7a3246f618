//! The layers next to a client, without a stack.

#[cfg(feature = "hyper")]
mod client_errors;
mod contract;
mod grpc;
mod timeouts;
#[cfg(feature = "tonic")]
mod tonic_errors;
#[cfg(feature = "tower")]
mod tower_errors;
