//! The plumbing of layers, for authors of a layer of their own.
//!
//! Users of a layer do not need this module.

mod attempt_group;
mod classified_outcome;
mod late_verdict;
mod read_ahead;
mod record_attempts;
mod watched;

use std::time::Duration;

pub use self::attempt_group::{AttemptGroup, AttemptSlot};
pub use self::classified_outcome::{verdict_of, verdict_of_error};
pub use self::late_verdict::LateVerdict;
pub use self::read_ahead::ReadAhead;
pub use self::record_attempts::RecordAttempts;
pub use self::watched::{End, OnEnd, Watched};
pub use crate::routing::stable_hash;

/// The resolution of tokio's timers. No layer waits for less.
pub const TICK: Duration = Duration::from_millis(1);
