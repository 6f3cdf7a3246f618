//! reqwest below and above a stack, over sockets.

mod contract;
#[cfg(feature = "middleware")]
mod middleware;
mod request;
mod transport;
