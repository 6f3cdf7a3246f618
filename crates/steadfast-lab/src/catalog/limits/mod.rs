//! Scenarios on the limits of providers, and on overload and outages.

mod outages;
mod patience;
mod shares;

use crate::catalog::entry::Entry;
use crate::world::Scenario;

/// Returns the scenarios of the page on limits.
#[must_use = "an iterator does nothing until it is consumed"]
pub fn limits() -> impl Iterator<Item = &'static Entry> {
    [shares::ENTRIES, patience::ENTRIES, outages::ENTRIES]
        .into_iter()
        .flatten()
}

/// A scenario with callers, which have rates of their own.
fn at(load: f64, scenario: Scenario) -> Scenario {
    Scenario {
        load: Some(load),
        ..scenario
    }
}
