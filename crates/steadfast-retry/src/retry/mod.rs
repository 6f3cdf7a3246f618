//! The state of a request that can be sent again.
//!
//! `state` holds the kept head and body, `past` the history after more than one attempt, and
//! `best_outcome` the outcome so far. `rescue` is a second attempt beside a slow one. `judge`
//! decides after each attempt, `settle` ends the request. No service is called here: the response
//! future does that.

mod best_outcome;
mod judge;
mod past;
mod rescue;
mod settle;
mod state;

pub(crate) use self::judge::Step;
pub(crate) use self::rescue::Rescue;
pub(crate) use self::settle::NoAttempt;
pub(crate) use self::state::{Retry, Settings};
