use steadfast_core::InvalidConfig;

use crate::select::candidates::{Candidate, Candidates, PickContext};
use crate::select::pick::Pick;

/// Chooses by a mix of health, latency and cost.
///
/// Health is the share of successes among the last outcomes. Latency is what the best candidate
/// has before it, the requests in flight with this one times the time that each takes, divided by
/// its own; cost likewise. Each counts as much as its share. What is known of
/// an endpoint gets old: the distance to a perfect score halves every ten seconds in which it is
/// not used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    health: f64,
    latency: f64,
    cost: f64,
}

/// Seconds after which half of what is known has faded.
const HALF_LIFE: f64 = 10.0;

impl Scored {
    /// Creates a mix of health and latency, 70 to 30, which leaves the cost out.
    #[must_use]
    pub fn new() -> Self {
        Self {
            health: 0.7,
            latency: 0.3,
            cost: 0.0,
        }
    }

    /// Sets how much each of the three counts. Only their proportions matter.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is negative, or none is positive.
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

    fn score(&self, candidate: &Candidate<'_>, best: &Best) -> f64 {
        let known = self.health * candidate.health() + self.latency * speed(candidate, best);
        // Health and latency fade while an endpoint is idle. Cost does not.
        let age = candidate.idle().as_secs_f64() / HALF_LIFE;
        let faded = (self.health + self.latency - known) * (-age).exp2();
        let cheap = match candidate.cost() {
            cost if cost > 0.0 => best.cost / cost,
            _ => 1.0,
        };
        self.health + self.latency - faded + self.cost * cheap
    }
}

/// What the best candidates have.
struct Best {
    work: f64,
    cost: f64,
}

/// The seconds of work that a candidate has before it with one more request, if it has answered
/// any. Without the requests in flight, the queue of the fastest one would swallow all of them.
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

/// Returns the speed of a candidate relative to the fastest, from 0 to 1.
fn speed(candidate: &Candidate<'_>, best: &Best) -> f64 {
    match work(candidate) {
        Some(work) if work > 0.0 => best.work / work,
        // An endpoint without a success gets one attempt at a time, because it may hang.
        None if candidate.in_flight() > 0 => 0.0,
        _ => 1.0,
    }
}
