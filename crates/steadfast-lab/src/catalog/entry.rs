//! An entry of the catalog.
//!
//! An entry is a scenario as a function of its load, with a description for the page.

use std::time::Duration;

use crate::world::Scenario;

/// A second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A scenario of the catalog, at any load.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name on the command line and in tables.
    pub(super) name: &'static str,
    /// The description on the page.
    pub(super) about: &'static str,
    /// The loads of the page.
    pub(super) loads: &'static [f64],
    /// Creates the scenario at a load.
    pub(super) make: fn(f64) -> Scenario,
}

impl Entry {
    /// Returns the name on the command line and in tables.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the description: endpoints, arrivals and faults.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Returns the loads of the page, each as a share of the quota of all endpoints.
    #[must_use]
    pub fn loads(&self) -> &'static [f64] {
        self.loads
    }

    /// Creates the scenario at a load.
    pub fn at(&self, load: f64) -> Scenario {
        (self.make)(load)
    }
}
