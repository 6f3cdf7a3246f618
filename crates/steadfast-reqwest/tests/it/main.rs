//! reqwest below and above a stack, over sockets.

#[cfg(feature = "middleware")]
mod middleware;
mod request;
mod transport;
