//! Rendezvous hashing: each endpoint draws a number for the key, and the largest number wins. If
//! an endpoint is removed, only its own keys move. Each goes to the endpoint with the next number.

use crate::select::candidates::{Candidate, Candidates};
use crate::select::random::mix;

/// Returns the candidate that owns the key.
pub(super) fn owner(key: u64, candidates: Candidates<'_>) -> Option<Candidate<'_>> {
    candidates.min_by(|candidate| {
        let name = candidate.entry().state.name_hash;
        -draw(key, name, candidate.weight())
    })
}

/// Returns the number of an endpoint for a key. The distribution makes the share of wins
/// proportional to the weight.
fn draw(key: u64, name: u64, weight: f64) -> f64 {
    let bits = mix(key ^ mix(name)) >> 11;
    // Strictly between 0 and 1, so the logarithm is finite and not 0.
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    weight / -uniform.ln()
}
