//! The breaker as tower middleware.

pub(crate) mod backpressure;
pub(crate) mod body;
pub(crate) mod future;
pub(crate) mod grpc;
pub(crate) mod layer;
#[allow(clippy::module_inception)] // the service of the folder
pub(crate) mod service;
pub(crate) mod settle;
