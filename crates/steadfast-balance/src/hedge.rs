//! A second attempt at another endpoint, while the first has not answered.

mod copy;
mod digest;
mod future;
mod layer;
mod race;
mod rules;
mod running;
mod service;
mod share;

pub use self::copy::{Cloned, CopyBody, CopyBodyFn};
pub use self::future::HedgeFuture;
pub use self::layer::HedgeLayer;
pub(crate) use self::race::{Place, Race};
pub use self::service::Hedge;
