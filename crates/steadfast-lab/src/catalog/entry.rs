//! An entry of the catalog.

use std::time::Duration;

use crate::world::Scenario;

/// A second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A scenario of the catalog, at any load.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) loads: &'static [f64],
    pub(super) make: fn(f64) -> Scenario,
}

impl Entry {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what happens in it.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Returns the loads that are worth a look.
    #[must_use]
    pub fn loads(&self) -> &'static [f64] {
        self.loads
    }

    /// Makes the scenario at a load.
    pub fn at(&self, load: f64) -> Scenario {
        (self.make)(load)
    }
}
