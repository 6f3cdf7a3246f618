//! Behaviour of the metrics layer and of the event observer.

mod attempts;
mod contract;
mod events;
mod prometheus;
mod requests;
mod snapshot;
mod support;
