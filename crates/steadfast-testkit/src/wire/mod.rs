//! The wire format of providers: pure functions from values to headers, bodies and events.

pub(crate) mod answers;
pub(crate) mod clock;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod refusal;
pub(crate) mod shape;
pub(crate) mod subject;
