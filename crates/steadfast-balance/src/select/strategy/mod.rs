//! The rules that choose one of the candidates for a request.

mod headroom;
mod least_loaded;
mod named;
mod pick_fn;
mod rendezvous;
mod round_robin;
mod scored;
mod turn;

pub use self::pick_fn::{PickFn, pick_fn};
pub use self::scored::Scored;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick::{Pick, Sample};
use crate::select::pick_context::PickContext;

/// The rules that choose an endpoint.
///
/// A strategy chooses among the endpoints of one tier, because tiers come first. `Failover` and
/// `RoundRobin` distribute requests with [weights](steadfast_core::RoutingOptions::weight) of their
/// own in proportion to them.
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

impl Pick for Strategy {
    fn pick<'a>(
        &self,
        request: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>> {
        match self {
            Self::Failover | Self::RoundRobin if request.has_weights() => {
                turn::next(request, candidates)
            }
            Self::Failover => None,
            Self::RoundRobin => round_robin::next(request, candidates),
            Self::LeastLoaded => least_loaded::pick(candidates),
            Self::Scored => Scored::default().pick(request, candidates),
            Self::Headroom => headroom::pick(candidates),
            Self::Sticky => match request.affinity_key() {
                Some(key) => rendezvous::owner(key, candidates),
                None => least_loaded::pick(candidates),
            },
        }
    }

    fn sample(&self) -> Sample {
        match self {
            Self::Failover => Sample::First,
            Self::LeastLoaded => Sample::Two,
            Self::RoundRobin | Self::Scored | Self::Headroom | Self::Sticky => Sample::All,
        }
    }
}

#[cfg(test)]
mod tests;
