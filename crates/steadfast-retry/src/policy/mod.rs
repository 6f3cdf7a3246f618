//! The rules after an attempt. No service, no future, no clock of their own.

mod caller;
mod limits;
mod outcome;
mod price;
mod refusals;
mod rules;

pub(crate) use self::caller::caller_of;
pub(crate) use self::limits::{Limits, Spent};
pub(crate) use self::outcome::{Decision, Outcome};
pub(crate) use self::refusals::Refusals;
pub(crate) use self::rules::{Policy, WAIT_TOO_LONG};

#[cfg(test)]
mod tests;
