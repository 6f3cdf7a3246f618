//! The breaker as a value.

pub(crate) mod announcer;
pub(crate) mod at;
pub(crate) mod breaker;
pub(crate) mod builder;
pub(crate) mod detached;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod permit;
pub(crate) mod registry;
pub(crate) mod shared;
