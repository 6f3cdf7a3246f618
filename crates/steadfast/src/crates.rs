//! The crates of the workspace.
//!
//! They have a module of their own, since a glob import of this crate would otherwise shadow
//! `core`, and a dependency named `metrics`.

pub use steadfast_balance as balance;
pub use steadfast_breaker as breaker;
pub use steadfast_core as core;
pub use steadfast_edge as edge;
#[cfg(feature = "hedge")]
pub use steadfast_hedge as hedge;
pub use steadfast_metrics as metrics;
pub use steadfast_retry as retry;
