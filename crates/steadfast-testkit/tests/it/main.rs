//! The upstream and the contract checker, by behaviour.

mod behavior;
mod contract;
mod faults;
mod gate;
mod limits;
mod log;
mod net;
mod outages;
mod replies;
mod streams;
mod support;
