//! Which of the endpoints that could take a request takes it.

mod named;
mod pick_fn;
mod rendezvous;
mod round;
mod scored;

pub use self::pick_fn::{PickFn, pick_fn};
pub use self::scored::Scored;

use crate::select::candidates::{Candidate, Candidates, PickContext};
use crate::select::pick::{Pick, Sample};

/// The rules to choose an endpoint by.
///
/// Tiers come first: a strategy chooses among the endpoints of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Strategy {
    /// The first one, in the order of the configuration. The others are there for the case that
    /// it cannot.
    #[default]
    Failover,
    /// One after the other, each as often as its [weight](crate::Endpoint::weight) says, and those
    /// of a large weight spread over the round.
    RoundRobin,
    /// The one with the least work before it: the requests that it has in flight with this one,
    /// times the time that it takes for a success, for its weight.
    ///
    /// An endpoint that fails counts as busier than it is, since failing takes little time: with
    /// half of its last answers failures, each of its requests counts as four. One that has never
    /// succeeded is taken for as fast as the fastest; where that makes it equal, it comes first if it
    /// was never tried, and last if it was. Of more than 16 candidates two are drawn at random.
    LeastLoaded,
    /// The one with the best mix of health and latency, 70 to 30: [`Scored`] with its defaults.
    Scored,
    /// The one with most left of its quota, by the headers of its own answers. Of several such,
    /// and where nothing is known, the least loaded one. One that says nothing of a quota counts as
    /// full, and so comes first: put it into a tier of its own beside those that do.
    Headroom,
    /// The same one for the same [key](steadfast_core::RoutingOptions::affinity_key), so that its caches stay warm.
    ///
    /// By rendezvous hashing: when an endpoint comes or goes, only its own keys move. Requests
    /// without a key go to the least loaded one.
    Sticky,
}

/// An endpoint that never succeeds is taken for one that does so at times.
const LEAST_HEALTH: f64 = 0.1;
/// No latency counts for less, in seconds: of two endpoints that answer at once, the one with less
/// to do is chosen.
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

fn least_loaded<'a>(candidates: Candidates<'a>) -> Option<Candidate<'a>> {
    let (mut all_limited, mut fastest) = (true, f64::INFINITY);
    // Of those that have succeeded the one with the least work, and of the others with the least load.
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
            // A little more than its equals: it may do nothing but refuse or hang.
            unknown.take(load * (1.0 + f64::EPSILON), candidate);
        }
    }
    if all_limited
        && candidates
            .iter()
            .all(|candidate| candidate.rate().is_some())
    {
        // There is little to spare, so those that have saved up most go first, and each gets as
        // much as it can take.
        return candidates.min_by(|candidate| -candidate.saved().unwrap_or_default());
    }
    // One that is as good as that, for all that is known, is worth a try.
    if unknown.value * fastest <= known.value {
        unknown.candidate.or(known.candidate)
    } else {
        known.candidate.or(unknown.candidate)
    }
}

/// The candidate with the least value so far, or of several such the first.
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

fn most_headroom<'a>(candidates: Candidates<'a>) -> Option<Candidate<'a>> {
    candidates.min_by(|candidate| (-candidate.headroom().unwrap_or(1.0), load(candidate)))
}

/// The load that one more request would make.
fn load(candidate: &Candidate<'_>) -> f64 {
    // Divided by the health once, an endpoint would get its fair share however it fails. It is to
    // get less, and still enough to be seen when it is well again.
    let health = candidate.health().max(LEAST_HEALTH);
    (f64::from(candidate.in_flight()) + 1.0) / (health * health * candidate.weight())
}

#[cfg(test)]
mod tests;
