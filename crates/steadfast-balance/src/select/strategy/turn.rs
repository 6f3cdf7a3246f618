//! Turns in proportion to the weights of a request.
//!
//! Each kind of request may have weights of its own, so the endpoints have no common round. A
//! sequence without a memory gives each kind its proportions: the fractions of the multiples of the
//! golden ratio are spread evenly, and so are the ones of every second or third multiple.

use std::sync::atomic::Ordering;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick_context::PickContext;

/// The golden ratio without its whole part, in units of 2^-64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Returns the candidate of the next turn.
pub(super) fn next<'a>(
    request: &PickContext<'a>,
    candidates: Candidates<'a>,
) -> Option<Candidate<'a>> {
    let largest = candidates.iter().map(|it| it.weight()).fold(0.0, f64::max);
    // Relative to the largest weight, so the sum is finite.
    let share = |candidate: &Candidate<'_>| candidate.weight() / largest;
    let all: f64 = candidates.iter().map(|it| share(&it)).sum();
    let (mut left, mut last) = (fraction(request) * all, None);
    for candidate in candidates.iter() {
        last = Some(candidate);
        left -= share(&candidate);
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Returns the next fraction, from 0 to 1 without 1.
fn fraction(request: &PickContext<'_>) -> f64 {
    let turn = request.turns.fetch_add(1, Ordering::Relaxed);
    (turn.wrapping_mul(STEP) >> 11) as f64 / (1_u64 << 53) as f64
}
