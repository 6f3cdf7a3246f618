//! Scenarios on the limits of providers, and on overload and outages.
//!
//! They cover the limits that real providers apply: per model, per credential, per minute, and
//! overload of all endpoints at once.

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

/// Sets the printed load of a scenario with callers. Callers have rates of their own, so
/// [`Scenario::load`] does not apply.
fn at(load: f64, scenario: Scenario) -> Scenario {
    Scenario {
        load: Some(load),
        ..scenario
    }
}
