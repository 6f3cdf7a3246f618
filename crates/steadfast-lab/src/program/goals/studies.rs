//! The studies behind the goals.

use crate::catalog::{Entry, catalog, refusing};
use crate::program::study::Study;

/// The scenarios and their loads.
const STUDIES: [(&str, &[f64]); 11] = [
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
];
pub(super) const OVER: f64 = 1.1;
pub(super) const REFUSING: &[f64] = &[0.001, 0.01, 0.1, 1.0];

/// The studies with as many seeds, or with as many as usual.
pub(crate) fn studies(seeds: impl Fn(f64) -> u64) -> Vec<Study> {
    let of = |(name, loads): (&str, &'static [f64])| {
        let entry = entry(name);
        let seeds = &seeds;
        // An endpoint that refuses all requests leaves little to chance.
        let once = name.starts_with("refusing");
        let study = move |load: &f64| {
            let seeds = if once { 1 } else { seeds(*load) };
            Study::new(entry, *load, seeds)
        };
        loads.iter().map(study).collect::<Vec<_>>()
    };
    STUDIES.into_iter().flat_map(of).collect()
}

fn entry(name: &str) -> &'static Entry {
    let mut all = catalog().iter().chain(refusing());
    let found = all.find(|entry| entry.name() == name);
    found.expect("one of both lists has it")
}
