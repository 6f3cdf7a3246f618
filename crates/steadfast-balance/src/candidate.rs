//! What a strategy is shown.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Extensions;
use steadfast_core::EndpointName;
use tokio::time::Instant;

use crate::members::Entry;
use crate::wishes::Wishes;

/// An endpoint that could take a request now. Every look at it is a look at its present state.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    entry: &'a Entry,
    index: usize,
    asking: &'a Asking<'a>,
}

/// The request that a strategy chooses an endpoint for.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub(crate) extensions: &'a Extensions,
    pub(crate) wishes: Option<&'a Wishes>,
    pub(crate) now: Instant,
    pub(crate) since_start: Duration,
    /// How far the round of [`Strategy::RoundRobin`](crate::Strategy::RoundRobin) has come.
    pub(crate) round: &'a AtomicU64,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(entry: &'a Entry, index: usize, asking: &'a Asking<'a>) -> Self {
        Self {
            entry,
            index,
            asking,
        }
    }

    pub(crate) fn entry(&self) -> &'a Entry {
        self.entry
    }

    /// Where it stands among all endpoints.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'a EndpointName {
        &self.entry.member.endpoint.name
    }

    /// Returns its tier, which is that of all candidates.
    #[must_use]
    pub fn tier(&self) -> u16 {
        self.entry.tier
    }

    /// Returns its weight, 1 if none was set.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.entry.weight
    }

    /// Returns what a request costs there, 1 if nothing was set.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.entry.member.endpoint.cost
    }

    /// Returns the requests that were sent there and whose response has not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.entry.member.in_flight.load(Ordering::Relaxed)
    }

    /// Returns the moving average of the time to the head of a successful response, if there was
    /// one.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.entry.member.latency.average()
    }

    /// Returns the share of successes among the last outcomes, 1 if nothing is known.
    #[must_use]
    pub fn health(&self) -> f64 {
        self.entry.member.breaker.health()
    }

    /// Returns how long it has had nothing to do.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.entry.member.idle(self.asking.since_start)
    }

    /// Returns how much is left of its quota by its own headers, from 0 to 1, after this request.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        let tokens = self.asking.estimated_tokens();
        (self.entry.member.quota).headroom(tokens, self.asking.since_start)
    }

    /// Returns the requests a second that it was seen to take, if it has been limited lately.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.entry.member.cooldown.rate()
    }

    pub(crate) fn latency_seconds(&self) -> Option<f64> {
        self.entry.member.latency.seconds()
    }
}

impl<'a> Asking<'a> {
    /// Returns the extensions of the request.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Returns a hash of its [sticky key](Wishes::sticky_key), if it has one.
    #[must_use]
    pub fn sticky_key(&self) -> Option<u64> {
        self.wishes.and_then(Wishes::key)
    }

    /// Returns the [tokens](Wishes::estimated_tokens) that it will probably use, if it says so.
    #[must_use]
    pub fn estimated_tokens(&self) -> Option<u64> {
        self.wishes.and_then(Wishes::tokens)
    }

    /// Returns the time of this choice.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("name", self.name())
            .field("in_flight", &self.in_flight())
            .field("latency", &self.latency())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking")
            .field("wishes", &self.wishes)
            .finish_non_exhaustive()
    }
}
