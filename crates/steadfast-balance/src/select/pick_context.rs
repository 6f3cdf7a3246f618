use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::Extensions;
use steadfast_core::RoutingOptions;
use tokio::time::Instant;

use crate::state::limits::demand::Demand;

/// The request for which a strategy chooses an endpoint.
#[derive(Clone, Copy)]
pub struct PickContext<'a> {
    pub(crate) extensions: &'a Extensions,
    pub(crate) options: Option<&'a RoutingOptions>,
    pub(crate) demand: &'a Demand,
    pub(crate) now: Instant,
    /// The instant at which the pool was created.
    pub(crate) start: Instant,
    /// The progress of the round of [`Strategy::RoundRobin`](crate::Strategy::RoundRobin).
    pub(crate) round: &'a AtomicU64,
    /// The number of choices by the weights of a request.
    pub(crate) turns: &'a AtomicU64,
}

impl<'a> PickContext<'a> {
    pub(super) fn since_start(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    /// Returns the extensions of the request.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Returns a hash of the [sticky key](RoutingOptions::affinity_key), if the request has one.
    #[must_use]
    pub fn affinity_key(&self) -> Option<u64> {
        self.options.and_then(RoutingOptions::affinity_hash)
    }

    /// Returns the [estimated tokens](RoutingOptions::estimated_tokens) of the request, if they
    /// are set.
    #[must_use]
    pub fn estimated_tokens(&self) -> Option<u64> {
        self.options.and_then(RoutingOptions::tokens)
    }

    /// Returns whether the request has [weights](RoutingOptions::weight) of its own.
    #[inline]
    pub(crate) fn has_weights(&self) -> bool {
        self.options.is_some_and(RoutingOptions::has_weights)
    }

    /// Returns the instant of this choice.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }
}

impl fmt::Debug for PickContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickContext")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
