//! Smooth weighted round robin, without a lock: each endpoint has its place on a line, where one
//! with twice the weight makes half the steps. The one whose step has its middle first is next.

use std::sync::atomic::Ordering;

use crate::select::candidates::{Candidate, Candidates, PickContext};

/// The step of an endpoint of the largest weight.
const STEP: f64 = 1_048_576.0;

/// The step of an endpoint that has a millionth of a millionth of the largest weight, or less.
const LONGEST: f64 = STEP * 1e12;

pub(super) fn next<'a>(
    request: &PickContext<'a>,
    candidates: Candidates<'a>,
) -> Option<Candidate<'a>> {
    let order = Ordering::Relaxed;
    let round = request.round.load(order);
    // Who was away begins a step behind the others at most, and does not catch up.
    let start = |candidate: &Candidate<'_>| {
        let turn = candidate.entry().state.load.turn.load(order);
        turn.max(round.saturating_sub(step(candidate)))
    };
    let middle = |candidate: &Candidate<'_>| start(candidate).saturating_add(step(candidate) / 2);
    let chosen = candidates.min_by(middle)?;
    let start = start(&chosen);
    let turn = &chosen.entry().state.load.turn;
    turn.fetch_max(start, order);
    turn.fetch_add(step(&chosen), order);
    request.round.fetch_max(start, order);
    Some(chosen)
}

fn step(candidate: &Candidate<'_>) -> u64 {
    // A share is positive, and the cast saturates.
    (STEP / candidate.entry().share).min(LONGEST) as u64
}
