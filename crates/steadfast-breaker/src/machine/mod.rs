//! The rules: numbers and a given instant in, decisions out. No lock over user code, no service.

pub(crate) mod backoff;
pub(crate) mod cusum;
pub(crate) mod outcome_window;
pub(crate) mod probe_slots;
pub(crate) mod ramp;
pub(crate) mod rates;
pub(crate) mod rules;
pub(crate) mod state_machine;
pub(crate) mod streak;
pub(crate) mod window;
