//! The state of a machine before an opening.

use tokio::time::Instant;

use super::phase::Phase;
use super::trips::TripReason;

/// The state of a machine before an opening.
///
/// If the failures behind the opening turn out to be no evidence, the machine returns to it.
/// Verdicts on the attempts of that time count again, so the generation is restored as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct BeforeOpening {
    pub(super) phase: Phase,
    pub(super) generation: u32,
    pub(super) opened: u32,
    pub(super) opened_at: Option<Instant>,
    pub(super) interrupted: Option<Instant>,
    pub(super) reason: Option<TripReason>,
    /// The steps of the open time.
    pub(super) steps: u32,
}
