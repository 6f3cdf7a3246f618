//! `ChatClient` over real sockets, and on a paused clock over a client in memory.

mod support;

mod calls;
mod common_errors;
mod errors;
mod metrics;
mod streams;
