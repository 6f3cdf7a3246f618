//! The selection of an endpoint for a request, and the forecast of its next attempt.

pub(crate) mod candidates;
pub(crate) mod doubt;
pub(crate) mod eligibility;
pub(crate) mod forecast;
mod held;
pub(crate) mod last_resort;
mod obstacle;
pub(crate) mod outlook;
pub(crate) mod pick;
pub(crate) mod pick_context;
pub(crate) mod random;
pub(crate) mod recovery;
pub(crate) mod request_context;
pub(crate) mod selector;
pub(crate) mod strategy;
mod vain;
