//! Scenarios on the limits of providers, and on overload and outages.
//!
//! They cover the limits that real providers apply: per model, per credential, per minute, and
//! overload of all endpoints at once.

use crate::catalog::entry::Entry;
use crate::world::Scenario;

/// An entry of `poison` or `refused`: its name, its description, its loads and the scenario with
/// the bad requests per second.
macro_rules! beside {
    ($name:literal, $about:literal, $loads:expr, $make:ident($bad:literal, $more:expr)) => {
        Entry {
            name: $name,
            about: $about,
            loads: $loads,
            make: |load| $make($name, load, $bad, $more),
        }
    };
}

mod outages;
mod patience;
mod refusals;
mod shares;

/// Returns the scenarios of the page on limits.
#[must_use = "an iterator does nothing until it is consumed"]
pub fn limits() -> impl Iterator<Item = &'static Entry> {
    let all = [
        shares::ENTRIES,
        patience::ENTRIES,
        outages::ENTRIES,
        refusals::ENTRIES,
    ];
    all.into_iter().flatten()
}

/// Sets the printed load of a scenario with callers. Callers have rates of their own, so
/// [`Scenario::load`] does not apply.
fn at(load: f64, scenario: Scenario) -> Scenario {
    Scenario {
        load: Some(load),
        ..scenario
    }
}
