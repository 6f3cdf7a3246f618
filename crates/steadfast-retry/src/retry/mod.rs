//! The state of a request that can be sent again.

mod best_outcome;
mod judge;
mod past;
mod settle;
mod state;

pub(crate) use self::judge::Step;
pub(crate) use self::state::{Retry, Settings};
