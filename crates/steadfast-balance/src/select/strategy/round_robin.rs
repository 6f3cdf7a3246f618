//! Smooth weighted round robin without a lock.
//!
//! Each endpoint has a position on a line. An endpoint with twice the weight makes steps of half
//! the length. The endpoint with the earliest middle of its next step is chosen.

use std::sync::atomic::Ordering;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick_context::PickContext;

/// The step of an endpoint with the largest weight.
const STEP: f64 = 1_048_576.0;

/// The largest step: for 1e-12 of the largest weight, or less.
const LONGEST: f64 = STEP * 1e12;

/// Returns the next candidate of the round, and moves it by one step.
pub(super) fn next<'a>(
    request: &PickContext<'a>,
    candidates: Candidates<'a>,
) -> Option<Candidate<'a>> {
    let order = Ordering::Relaxed;
    let round = request.round.load(order);
    // An endpoint that returns starts at most one step behind the others, so it does not catch up.
    let start = |candidate: &Candidate<'_>| {
        let position = candidate.entry().state.load.round_position.load(order);
        position.max(round.saturating_sub(step(candidate)))
    };
    let middle = |candidate: &Candidate<'_>| start(candidate).saturating_add(step(candidate) / 2);
    let chosen = candidates.min_by(middle)?;
    let start = start(&chosen);
    let position = &chosen.entry().state.load.round_position;
    position.fetch_max(start, order);
    position.fetch_add(step(&chosen), order);
    request.round.fetch_max(start, order);
    Some(chosen)
}

/// Returns the step of a candidate.
fn step(candidate: &Candidate<'_>) -> u64 {
    // A share is positive, and the cast saturates.
    (STEP / candidate.entry().share).min(LONGEST) as u64
}
