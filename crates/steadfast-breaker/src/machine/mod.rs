//! The state machine of a breaker and the counters of its trip rules.
//!
//! Nothing here knows of services or futures. Every function gets the instant as an argument,
//! except [`rates`], which reads the clock only if a rule needs it.

mod admission;
mod backoff;
mod before_opening;
mod call_ring;
mod counter;
mod outcome_window;
mod phase;
mod probe_slots;
mod ramp;
mod rates;
mod rules;
mod state_machine;
mod streak;
mod take_back;
mod time_ring;
mod transitions;
pub(crate) mod trips;
mod verdicts;
mod window;

pub(crate) use self::admission::{Admission, Mark, Timing};
pub(crate) use self::outcome_window::OutcomeWindow;
pub(crate) use self::phase::{Change, Order, Phase, Wait};
pub(crate) use self::rates::Rates;
pub use self::rules::RateLimits;
pub(crate) use self::rules::{Rate, Rules};
pub(crate) use self::state_machine::Machine;
pub use self::trips::TripReason;
pub use self::window::Window;
