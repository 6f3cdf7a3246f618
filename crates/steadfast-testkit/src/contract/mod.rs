//! The checker of the `tower_service::Service` contract.

mod future;
mod gate;
mod probe;
mod readiness;
mod service;

pub use self::future::ContractFuture;
pub use self::probe::{Probe, Report};
pub use self::service::Contract;
