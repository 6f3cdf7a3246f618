//! The studies behind the goals.
//!
//! Half of them are also in the tables of the other pages, and run once for both.

use crate::catalog::{BURST, Entry, LIFTED, NEIGHBOUR, RANDOM, catalog, evidence, refusing};
use crate::program::study::Study;

/// The scenarios, each with its loads.
const STUDIES: [(&str, &[f64]); 27] = [
    ("quota", &[0.5, 0.8, 0.95, OVER]),
    ("quota-no-hint", &[0.95, OVER]),
    ("quota-slow", &[0.95, OVER]),
    ("outage", &[0.5]),
    ("clients", &[0.95]),
    ("fast-fail", &[0.5]),
    ("stragglers", &[0.25]),
    ("ramp", &[1.0]),
    ("refusing", REFUSING),
    ("refusing-herd", &[0.1]),
    ("refusing-beside", REFUSING),
    ("random-5", RANDOM),
    ("random-0.5", RANDOM),
    ("random-0.1", RANDOM),
    ("random-5-no-hint", RANDOM),
    ("random-0.5-no-hint", RANDOM),
    ("random-0.1-no-hint", RANDOM),
    ("random-5-of-3", RANDOM),
    ("random-0.5-of-3", RANDOM),
    ("random-0.1-of-3", RANDOM),
    ("random-5-of-3-no-hint", RANDOM),
    ("random-0.5-of-3-no-hint", RANDOM),
    ("random-0.1-of-3-no-hint", RANDOM),
    ("neighbour", NEIGHBOUR),
    ("lifted-15", &[LIFTED]),
    ("lifted-60", &[LIFTED]),
    ("burst", &[BURST]),
];
/// The load of an overload.
pub(super) const OVER: f64 = 1.1;
/// The loads of the endpoints that always refuse, in thousands of requests per second.
pub(super) const REFUSING: &[f64] = &[0.001, 0.01, 0.1, 1.0];

/// Returns the studies. `seeds` returns the number of seeds at a load.
pub(crate) fn studies(seeds: impl Fn(f64) -> u64) -> Vec<Study> {
    let of = |(name, loads): (&str, &'static [f64])| {
        let entry = entry(name);
        let seeds = &seeds;
        // An endpoint that refuses all requests leaves little to chance, and so do many requests.
        let once = name.starts_with("refusing") || name.starts_with("random");
        let study = move |load: &f64| {
            let seeds = if once { 1 } else { seeds(*load) };
            Study::new(entry, *load, seeds)
        };
        loads.iter().map(study).collect::<Vec<_>>()
    };
    STUDIES.into_iter().flat_map(of).collect()
}

/// Returns a scenario of any of the lists.
fn entry(name: &str) -> &'static Entry {
    let mut all = catalog().iter().chain(refusing()).chain(evidence());
    let found = all.find(|entry| entry.name() == name);
    found.expect("one of the lists has it")
}
