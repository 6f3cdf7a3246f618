//! Behaviour of the stack that its callers see.

mod answers;
mod buffered;
mod classification;
#[cfg(feature = "hyper-errors")]
mod client_errors;
mod contract;
mod cut_streams;
#[cfg(feature = "decode")]
mod encoded;
mod endpoints;
mod error_events;
mod extensions;
#[cfg(feature = "models")]
mod formats;
#[cfg(all(feature = "health", feature = "models"))]
mod health;
mod limit_keys;
mod open_streams;
mod request_root;
#[cfg(feature = "models")]
mod routes;
mod rules;
mod support;
