//! Requests that wait for a slot.

pub(crate) mod departure;
pub(crate) mod marks;
pub(crate) mod overload;
pub(crate) mod overloads;
pub(crate) mod patience;
pub(crate) mod queue;
pub(crate) mod shed;
pub(crate) mod signals;
mod sweep;
pub(crate) mod view;
pub(crate) mod wait;
pub(crate) mod waiters;
