//! What the page on retries has beside scenarios of the catalog.
//!
//! One endpoint isolates the effect of retries: no other endpoint can hide it.

use crate::catalog::entry::Entry;
use crate::catalog::single::{overload, service};
use crate::world::Scenario;

/// Returns scenarios with one endpoint, where a policy can only choose whether and when to retry.
#[must_use]
pub(crate) fn retries() -> &'static [Entry] {
    &[
        Entry {
            name: "blips-1",
            about: "The service of `storm` without its trouble. One request of a hundred is \
                    answered with 500 after 30 ms, independently of the others.",
            loads: &[0.8],
            make: |load| service("blips-1", load, |endpoint| endpoint.failures(0.01)),
        },
        Entry {
            name: "blips-5",
            about: "The same, and it is one of twenty.",
            loads: &[0.8],
            make: |load| service("blips-5", load, |endpoint| endpoint.failures(0.05)),
        },
        Entry {
            name: "storm-blips-1",
            about: "`storm`, and one request of a hundred is answered with 500 all the time.",
            loads: &[0.8],
            make: |load| stormy("storm-blips-1", load, 0.01),
        },
        Entry {
            name: "storm-blips-5",
            about: "The same, and it is one of twenty.",
            loads: &[0.8],
            make: |load| stormy("storm-blips-5", load, 0.05),
        },
        Entry {
            name: "storm-clients",
            about: "`storm`, and the requests come from eight clients that know nothing of each \
                    other. Each has a budget of its own.",
            loads: &[0.8],
            make: |load| stormy("storm-clients", load, 0.0).clients(8),
        },
    ]
}

/// Creates the scenario `storm` with random failures.
fn stormy(name: &str, load: f64, failures: f64) -> Scenario {
    service(name, load, |endpoint| overload(endpoint).failures(failures))
}
