//! Rendezvous hashing: each endpoint draws a number for the key, and the largest wins. If it goes
//! away only its own keys move, each to the endpoint with its next number.

use crate::candidate::Candidate;
use crate::dice::mix;

pub(super) fn owner(key: u64, candidates: &[Candidate<'_>]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (at, candidate) in candidates.iter().enumerate() {
        let number = draw(key, candidate.entry().member.name_hash, candidate.weight());
        if number > best.1 {
            best = (at, number);
        }
    }
    best.0
}

/// With this distribution an endpoint wins as often as its weight says.
fn draw(key: u64, name: u64, weight: f64) -> f64 {
    let bits = mix(key ^ mix(name)) >> 11;
    // Between 0 and 1, and neither of them.
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    weight / -uniform.ln()
}
