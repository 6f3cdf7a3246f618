//! The endpoint with the largest remaining share of its quota.

use super::least_loaded::load;
use crate::select::candidates::{Candidate, Candidates};

/// Returns the candidate with the largest remaining share of its quota.
#[inline]
pub(super) fn pick<'a>(candidates: Candidates<'a>) -> Option<Candidate<'a>> {
    candidates.min_by(|candidate| (-candidate.headroom().unwrap_or(1.0), load(candidate)))
}
