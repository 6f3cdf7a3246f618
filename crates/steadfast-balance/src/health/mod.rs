//! Health checks: their settings and their task.

mod checker;
mod outcome;
mod request;
mod schedule;
pub(crate) mod settings;
mod watch;
