//! The layer next to the client: it bounds the time of an attempt, classifies the response, and
//! inserts the verdict into the extensions for all layers above.

mod asked;
mod attempt;
mod attempt_state;
mod body;
mod collect;
mod created;
mod latencies;
mod limits;
mod memory;
mod pace;
mod preamble;
mod reading;
mod service;
mod settings;
mod sse;
mod stream;
mod unexpected;
mod whole;

pub(crate) use self::created::Creates;
pub(crate) use self::memory::Memory;
pub(crate) use self::service::EdgeLayer;
pub(crate) use self::settings::{Settings, Shared};
pub use self::sse::{Events, SseEvent};
#[cfg(any(test, fuzzing))]
pub(crate) use self::stream::Stream;
pub use self::stream::StreamBroken;
pub(crate) use self::whole::MAX_ANSWER;

#[cfg(test)]
mod tests;
