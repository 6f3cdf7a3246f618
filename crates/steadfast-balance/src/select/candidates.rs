//! What a strategy is shown.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::Extensions;
use steadfast_core::EndpointName;
use tokio::time::Instant;

use crate::pool::snapshot::ActiveEndpoint;
use steadfast_core::RoutingOptions;

/// The endpoints of one tier that could take a request now.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    tier: &'a [ActiveEndpoint],
    /// Where the tier begins among all endpoints.
    start: usize,
    /// Their indices in the tier: in order, unless they were drawn.
    indices: &'a [u32],
    request: &'a PickContext<'a>,
}

/// An endpoint that could take a request now. Every look at it is a look at its present state.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    entry: &'a ActiveEndpoint,
    index: usize,
    request: &'a PickContext<'a>,
}

/// The request that a strategy chooses an endpoint for.
#[derive(Clone, Copy)]
pub struct PickContext<'a> {
    pub(crate) extensions: &'a Extensions,
    pub(crate) options: Option<&'a RoutingOptions>,
    pub(crate) now: Instant,
    /// When the pool began.
    pub(crate) start: Instant,
    /// How far the round of [`Strategy::RoundRobin`](crate::Strategy::RoundRobin) has come.
    pub(crate) round: &'a AtomicU64,
}

impl<'a> Candidates<'a> {
    #[inline]
    pub(crate) fn new(
        (tier, start): (&'a [ActiveEndpoint], usize),
        indices: &'a [u32],
        request: &'a PickContext<'a>,
    ) -> Self {
        Self {
            tier,
            start,
            indices,
            request,
        }
    }

    /// Returns how many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Returns whether there is none. A strategy is never asked then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns them, in the order of the configuration unless they were drawn.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let Self {
            tier,
            start,
            indices,
            request,
        } = *self;
        indices.iter().map(move |at| {
            let at = *at as usize;
            Candidate::new(&tier[at], start + at, request)
        })
    }

    /// Returns the one with the smallest value, or of several such the first.
    ///
    /// A value that is not a number is larger than any other.
    #[inline]
    pub fn min_by<T: PartialOrd>(
        &self,
        value: impl Fn(&Candidate<'a>) -> T,
    ) -> Option<Candidate<'a>> {
        let mut best: Option<(Candidate<'a>, T)> = None;
        for candidate in self.iter() {
            let value = value(&candidate);
            let is_number = |value: &T| value.partial_cmp(value).is_some();
            let is_less = |least: &T| value < *least || is_number(&value) && !is_number(least);
            if best.as_ref().is_none_or(|(_, least)| is_less(least)) {
                best = Some((candidate, value));
            }
        }
        best.map(|(candidate, _)| candidate)
    }
}

impl<'a> Candidate<'a> {
    #[inline]
    pub(crate) fn new(
        entry: &'a ActiveEndpoint,
        index: usize,
        request: &'a PickContext<'a>,
    ) -> Self {
        Self {
            entry,
            index,
            request,
        }
    }

    #[inline]
    pub(crate) fn entry(&self) -> &'a ActiveEndpoint {
        self.entry
    }

    /// Where it stands among all endpoints.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'a EndpointName {
        &self.entry.state.config.name
    }

    /// Returns its tier, which is that of all candidates.
    #[must_use]
    pub fn tier(&self) -> u16 {
        self.entry.tier
    }

    /// Returns its weight, 1 if none was set.
    #[must_use]
    #[inline]
    pub fn weight(&self) -> f64 {
        self.entry.weight
    }

    /// Returns what a request costs there, 1 if nothing was set.
    #[must_use]
    #[inline]
    pub fn cost(&self) -> f64 {
        self.entry.state.config.cost
    }

    /// Returns the requests that were sent there and whose response has not ended.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.entry.state.load.in_flight()
    }

    /// Returns the moving average of the time to the head of a successful response, if there was
    /// one.
    #[must_use]
    #[inline]
    pub fn latency(&self) -> Option<Duration> {
        self.entry.state.load.latency.average()
    }

    /// Returns the share of successes among the last outcomes, 1 if nothing is known.
    #[must_use]
    #[inline]
    pub fn health(&self) -> f64 {
        self.entry.state.breaker.health()
    }

    /// Returns how long it has had nothing to do.
    #[must_use]
    #[inline]
    pub fn idle(&self) -> Duration {
        self.entry.state.load.idle(|| self.request.since_start())
    }

    /// Returns how much is left of its quota by its own headers, from 0 to 1, after this request.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        let tokens = self.request.estimated_tokens();
        (self.entry.state.quota).headroom(tokens, self.request.since_start())
    }

    /// Returns the requests a second that it was seen to take, if it has been limited lately.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.entry.state.cooldown.rate()
    }

    /// Whether it is or was limited lately.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.entry.state.cooldown.is_busy()
    }

    /// How many seconds of its rate it has saved up, if it is limited.
    #[inline]
    pub(crate) fn saved(&self) -> Option<f64> {
        self.entry.state.cooldown.saved(self.request.now)
    }

    /// Whether no attempt has ended there yet.
    #[inline]
    pub(crate) fn is_untried(&self) -> bool {
        self.entry.state.load.is_untried()
    }

    #[inline]
    pub(crate) fn latency_seconds(&self) -> Option<f64> {
        self.entry.state.load.latency.seconds()
    }
}

impl<'a> PickContext<'a> {
    fn since_start(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    /// Returns the extensions of the request.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Returns a hash of its [sticky key](RoutingOptions::affinity_key), if it has one.
    #[must_use]
    pub fn affinity_key(&self) -> Option<u64> {
        self.options.and_then(RoutingOptions::affinity_hash)
    }

    /// Returns the [tokens](RoutingOptions::estimated_tokens) that it will probably use, if it says so.
    #[must_use]
    pub fn estimated_tokens(&self) -> Option<u64> {
        self.options.and_then(RoutingOptions::tokens)
    }

    /// Returns the time of this choice.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
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

impl fmt::Debug for PickContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickContext")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
