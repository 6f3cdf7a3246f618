//! The rules that choose one of the candidates for a request.

mod named;
mod pick_fn;
mod rendezvous;
mod round;
mod scored;

pub use self::pick_fn::{PickFn, pick_fn};
pub use self::scored::Scored;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick::{Pick, Sample};
use crate::select::pick_context::PickContext;

/// The rules that choose an endpoint.
///
/// A strategy chooses among the endpoints of one tier, because tiers come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Strategy {
    /// Chooses the first candidate in the order of the configuration. The other endpoints serve
    /// only if the first cannot.
    #[default]
    Failover,
    /// Chooses the endpoints one by one, each in proportion to its
    /// [weight](crate::Endpoint::weight). The requests of an endpoint with a large weight are
    /// spread over the round.
    RoundRobin,
    /// Chooses the endpoint with the least work. The work is the requests in flight times the
    /// latency of a success, divided by the weight. This request counts as in flight.
    ///
    /// A failing endpoint counts as busier, because failures take little time. If half of its last
    /// outcomes are failures, each of its requests counts as four.
    ///
    /// An endpoint without a success counts as fast as the fastest endpoint. If that makes it
    /// equal, an untried endpoint comes first and a tried one last. If a tier has more than 16
    /// endpoints, two candidates are drawn at random (P2C).
    LeastLoaded,
    /// Chooses the endpoint with the best mix of health and latency, 70 to 30. This is [`Scored`]
    /// with its defaults.
    Scored,
    /// Chooses the endpoint with the largest remaining share of its quota. The quota comes from
    /// the headers of the endpoint's own responses. If several are equal or no quota is known, the
    /// least loaded one is chosen.
    ///
    /// An endpoint without quota headers counts as full, and so comes first. Put such endpoints
    /// into a tier of their own.
    Headroom,
    /// Chooses the same endpoint for the same [key](steadfast_core::RoutingOptions::affinity_key),
    /// so that its caches stay warm.
    ///
    /// The choice uses rendezvous hashing. If an endpoint is added or removed, only its own keys
    /// move. Requests without a key go to the least loaded endpoint.
    Sticky,
}

/// The smallest health that counts. An endpoint that never succeeds still gets a few requests, so
/// that its recovery is seen.
const LEAST_HEALTH: f64 = 0.1;
/// The smallest latency that counts, in seconds. If two endpoints respond at once, the less loaded
/// one is chosen.
const SHORTEST: f64 = 1e-6;

impl Pick for Strategy {
    fn pick<'a>(
        &self,
        request: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>> {
        match self {
            Self::Failover => None,
            Self::RoundRobin => round::next(request, candidates),
            Self::LeastLoaded => least_loaded(candidates),
            Self::Scored => Scored::default().pick(request, candidates),
            Self::Headroom => most_headroom(candidates),
            Self::Sticky => match request.affinity_key() {
                Some(key) => rendezvous::owner(key, candidates),
                None => least_loaded(candidates),
            },
        }
    }

    fn sample(&self) -> Sample {
        match self {
            Self::Failover => Sample::First,
            Self::LeastLoaded => Sample::Two,
            _ => Sample::All,
        }
    }
}

/// Returns the candidate with the least work.
fn least_loaded<'a>(candidates: Candidates<'a>) -> Option<Candidate<'a>> {
    let (mut all_limited, mut fastest) = (true, f64::INFINITY);
    // Candidates with a success compare by work. The others compare by load.
    let (mut known, mut unknown) = (Least::default(), Least::default());
    for candidate in candidates.iter() {
        all_limited &= candidate.is_limited();
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
        // Capacity is scarce, so the candidate with the most saved-up rate is first. Each
        // candidate then gets as much as its send rate allows.
        return candidates.min_by(|candidate| -candidate.saved().unwrap_or_default());
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

/// Returns the candidate with the largest remaining share of its quota.
fn most_headroom<'a>(candidates: Candidates<'a>) -> Option<Candidate<'a>> {
    candidates.min_by(|candidate| (-candidate.headroom().unwrap_or(1.0), load(candidate)))
}

/// Returns the load of the endpoint with one more request.
fn load(candidate: &Candidate<'_>) -> f64 {
    // If the health divided only once, a failing endpoint would get its fair share. Squared, it
    // gets less, and still enough to show its recovery.
    let health = candidate.health().max(LEAST_HEALTH);
    (f64::from(candidate.in_flight()) + 1.0) / (health * health * candidate.weight())
}

#[cfg(test)]
mod tests;
