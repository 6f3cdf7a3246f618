//! The building blocks of layers, for authors of a layer of their own.
//!
//! Users of a layer do not need this module.

mod attempt_group;
mod body;
pub(crate) mod chain;
mod classified_outcome;
mod hop_by_hop;
mod leaves_root;
mod record_attempts;

pub use self::attempt_group::{AttemptGroup, AttemptSlot};
pub use self::body::{End, LateVerdict, OnEnd, ReadAhead, Watched};
pub use self::classified_outcome::{verdict_of, verdict_of_error};
pub use self::hop_by_hop::{is_hop_by_hop, remove_named_by_connection};
pub use self::leaves_root::leaves_root;
pub use self::record_attempts::RecordAttempts;
pub use crate::event::Observers;
pub use crate::retry_after::set_retry_after;
pub use crate::rounded::rounded;
pub use crate::stable_hash::stable_hash;
pub use crate::time::{TICK, saturating_add};
pub use crate::trail::Next;
