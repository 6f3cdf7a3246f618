use steadfast_core::InvalidConfig;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick::Pick;
use crate::select::pick_context::PickContext;

/// Chooses by a mix of health, latency and cost.
///
/// Health is the share of successes among the last outcomes. The work of a candidate is its
/// latency times its requests in flight, including this one. The latency score is the least work
/// of all candidates divided by the candidate's work. The cost score is the least cost divided by
/// the candidate's cost. Each score counts by its share of the mix.
///
/// Health and latency fade while an endpoint is idle: the distance to a perfect score halves every
/// 10 seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The share of the health score.
    health: f64,
    /// The share of the latency score.
    latency: f64,
    /// The share of the cost score.
    cost: f64,
}

/// The half-life of health and latency while an endpoint is idle, in seconds.
const HALF_LIFE: f64 = 10.0;

impl Scored {
    /// Creates a mix of health and latency, 70 to 30. The cost does not count.
    #[must_use]
    pub fn new() -> Self {
        Self {
            health: 0.7,
            latency: 0.3,
            cost: 0.0,
        }
    }

    /// Creates a mix of the three scores. Only the proportions matter.
    ///
    /// # Errors
    ///
    /// Returns an error if a share is negative or not finite, or if no share is positive.
    pub fn mix(health: f64, latency: f64, cost: f64) -> Result<Self, InvalidConfig> {
        for (field, share) in [("health", health), ("latency", latency), ("cost", cost)] {
            if !(share.is_finite() && share >= 0.0) {
                return Err(InvalidConfig::new(field, share, "must not be negative"));
            }
        }
        let all = health + latency + cost;
        if all <= 0.0 {
            let reason = "must not be 0 like all others";
            return Err(InvalidConfig::new("health", health, reason));
        }
        Ok(Self {
            health: health / all,
            latency: latency / all,
            cost: cost / all,
        })
    }

    /// Returns the score of a candidate. The largest score wins.
    fn score(&self, candidate: &Candidate<'_>, best: &Best) -> f64 {
        let known = self.health * candidate.health() + self.latency * speed(candidate, best);
        // Health and latency fade while an endpoint is idle. The cost does not.
        let age = candidate.idle().as_secs_f64() / HALF_LIFE;
        let faded = (self.health + self.latency - known) * (-age).exp2();
        let cheap = match candidate.cost() {
            cost if cost > 0.0 => best.cost / cost,
            _ => 1.0,
        };
        self.health + self.latency - faded + self.cost * cheap
    }
}

/// The least work and the least cost among the candidates.
struct Best {
    /// Seconds of work.
    work: f64,
    /// The cost of one request.
    cost: f64,
}

/// Returns the seconds of work at a candidate with one more request, if it has had a success.
///
/// Requests in flight count, because otherwise the fastest endpoint would get all requests.
fn work(candidate: &Candidate<'_>) -> Option<f64> {
    let requests = f64::from(candidate.in_flight()) + 1.0;
    candidate
        .latency_seconds()
        .map(|latency| latency * requests)
}

impl Pick for Scored {
    fn pick<'a>(&self, _: &PickContext<'a>, candidates: Candidates<'a>) -> Option<Candidate<'a>> {
        let mut best = Best {
            work: f64::INFINITY,
            cost: f64::INFINITY,
        };
        for candidate in candidates.iter() {
            best.work = work(&candidate).map_or(best.work, |work| work.min(best.work));
            best.cost = candidate.cost().min(best.cost);
        }
        candidates.min_by(|candidate| -self.score(candidate, &best))
    }
}

impl Default for Scored {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the speed of a candidate relative to the fastest one, from 0 to 1.
fn speed(candidate: &Candidate<'_>, best: &Best) -> f64 {
    match work(candidate) {
        Some(work) if work > 0.0 => best.work / work,
        // An endpoint without a success gets one attempt at a time, because it may hang.
        None if candidate.in_flight() > 0 => 0.0,
        _ => 1.0,
    }
}
