//! Requests that wait for a slot.

pub(crate) mod marks;
pub(crate) mod overload;
pub(crate) mod overloads;
pub(crate) mod patience;
pub(crate) mod queue;
pub(crate) mod signals;
pub(crate) mod view;
pub(crate) mod wait;
pub(crate) mod waiters;
