//! The layer next to the client: it bounds the time of an attempt, classifies the response, and
//! inserts the verdict into the extensions for all layers above.

mod attempt;
mod body;
#[cfg(feature = "hyper-errors")]
mod hyper_error;
mod limits;
mod service;
mod sse;
mod stream;
mod timed;
mod transport;
mod unexpected;

pub(crate) use self::service::EdgeLayer;
pub use self::stream::StreamBroken;
#[cfg(all(test, feature = "client"))]
pub(crate) use self::transport::classified;
