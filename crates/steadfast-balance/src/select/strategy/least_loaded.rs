//! The endpoint with the least work: load times latency.

use crate::select::candidates::{Candidate, Candidates};

/// The smallest health that counts. An endpoint that never succeeds still gets a few requests, so
/// that its recovery is seen.
const LEAST_HEALTH: f64 = 0.1;
/// The smallest latency that counts, in seconds. If two endpoints respond at once, the less loaded
/// one is chosen.
const SHORTEST: f64 = 1e-6;

/// Returns the candidate with the least work.
#[inline]
pub(super) fn pick<'a>(candidates: Candidates<'a>) -> Option<Candidate<'a>> {
    let (mut all_limited, mut fastest) = (true, f64::INFINITY);
    // Candidates with a success compare by work. The others compare by load.
    let (mut known, mut unknown) = (Least::default(), Least::default());
    for candidate in candidates.iter() {
        all_limited = all_limited && candidate.is_limited();
        let load = load(&candidate);
        if let Some(latency) = candidate.latency_seconds() {
            let latency = latency.max(SHORTEST);
            if latency < fastest {
                fastest = latency;
            }
            known.take(load * latency, candidate);
        } else if candidate.is_untried() {
            unknown.take(load, candidate);
        } else {
            // Slightly more than an untried endpoint: this one may only refuse or hang.
            unknown.take(load * (1.0 + f64::EPSILON), candidate);
        }
    }
    if all_limited
        && candidates
            .iter()
            .all(|candidate| candidate.rate().is_some())
    {
        // Capacity is scarce, so the candidate that has used the least of its rate is first. Each
        // candidate then gets its share, also while all of them have tokens.
        return candidates.min_by(|candidate| candidate.used().unwrap_or_default());
    }
    // The unknown latency may be as good as the fastest one, so this endpoint is worth an attempt.
    if unknown.value * fastest <= known.value {
        unknown.candidate.or(known.candidate)
    } else {
        known.candidate.or(unknown.candidate)
    }
}

/// The candidate with the least value so far. If several are equal, it is the first.
struct Least<'a> {
    value: f64,
    candidate: Option<Candidate<'a>>,
}

impl Default for Least<'_> {
    fn default() -> Self {
        Self {
            value: f64::INFINITY,
            candidate: None,
        }
    }
}

impl<'a> Least<'a> {
    #[inline]
    fn take(&mut self, value: f64, candidate: Candidate<'a>) {
        if value < self.value {
            self.value = value;
            self.candidate = Some(candidate);
        }
    }
}

/// Returns the load of the endpoint with one more request.
#[inline]
pub(super) fn load(candidate: &Candidate<'_>) -> f64 {
    let (busy, weight) = (f64::from(candidate.in_flight()) + 1.0, candidate.weight());
    let health = candidate.health();
    // The common case, without two multiplications per candidate.
    if health >= 1.0 {
        return busy / weight;
    }
    // If the health divided only once, a failing endpoint would get its fair share. Squared, it
    // gets less, and still enough to show its recovery.
    let health = health.max(LEAST_HEALTH);
    busy / (health * health * weight)
}
