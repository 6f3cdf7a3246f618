//! The page on breakers: ours beside the rules of others.
//!
//! The numbers come from [`breaker`](crate::breaker), without requests or endpoints.

mod chapters;
mod measure;

pub(super) use self::chapters::chapters;
pub(super) use self::measure::measure;

use self::measure::{Measured, Measurement};
use crate::program::page::{File, notice};

/// The text of the page, with placeholders.
const PAGE: &str = include_str!("breaker.md");

/// The default number of seeds. A run takes about a millisecond.
pub(super) const SEEDS: u64 = 1_000;

/// Returns the page. `command` is the command line that writes it.
pub(super) fn page(command: &str, measured: &Measured) -> File {
    let row = |one: &Measurement| format!("| {} | {} |\n", one.row.name(), one.row.about());
    let text = PAGE
        .replace("{command}", command)
        .replace(
            "{rows}",
            measured
                .breakers
                .iter()
                .map(row)
                .collect::<String>()
                .trim_end(),
        )
        .replace("{chapters}", chapters(measured).trim_end());
    File {
        name: "breaker.md".to_owned(),
        text: notice(command) + &text,
    }
}
