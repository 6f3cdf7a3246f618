//! Rendezvous hashing: each endpoint draws a number for the key, and the largest wins. If it goes
//! away only its own keys move, each to the endpoint with its next number.

use crate::select::candidates::{Candidate, Candidates};
use crate::select::random::mix;

pub(super) fn owner(key: u64, candidates: Candidates<'_>) -> Option<Candidate<'_>> {
    candidates.min_by(|candidate| {
        let name = candidate.entry().state.name_hash;
        -draw(key, name, candidate.weight())
    })
}

/// With this distribution an endpoint wins as often as its weight says.
fn draw(key: u64, name: u64, weight: f64) -> f64 {
    let bits = mix(key ^ mix(name)) >> 11;
    // Between 0 and 1, and neither of them.
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    weight / -uniform.ln()
}
