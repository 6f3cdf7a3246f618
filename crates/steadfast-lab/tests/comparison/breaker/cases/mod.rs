//! The rows of the table.

mod half_open;
mod late;
mod open;
mod opening;
mod usage;

use std::time::Duration;

use super::case::{Case, Group};
use super::stage::Stage;
use crate::table::Cell;

/// The number of callers that cancel.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = opening::cases();
    cases.extend(open::cases());
    cases.extend(half_open::cases());
    cases.extend(late::cases());
    cases.extend(usage::cases());
    cases
}

/// Whether an outage was noticed, and after how many calls.
fn opened(calls: Option<usize>) -> String {
    match calls {
        Some(calls) => format!("{calls} calls, then open"),
        None => "stays closed".to_owned(),
    }
}
