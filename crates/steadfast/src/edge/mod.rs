//! What stands next to the client: it bounds the time of an attempt, finds out what an answer
//! means, and puts that into its extensions for every layer above.

mod attempt;
mod body;
mod limits;
mod service;
mod sse;
mod stream;
mod transport;

pub(crate) use self::service::EdgeLayer;
pub use self::stream::StreamBroken;
#[cfg(all(test, feature = "client"))]
pub(crate) use self::transport::classified;
