//! Runs of scenarios, and their results.

mod callers;
mod details;
mod record;
mod run;
mod statistics;
mod summary;
mod trouble;

pub use self::callers::{CallerReport, Rejections};
pub use self::details::Details;
pub use self::summary::Report;
