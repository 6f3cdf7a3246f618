//! The candidates of a selection, as a strategy sees them.

use std::fmt;
use std::time::Duration;

use steadfast_core::{EndpointName, RoutingOptions};

use crate::pool::snapshot::ActiveEndpoint;
use crate::select::pick_context::PickContext;
use crate::state::limits::limit_state::LimitState;

/// The endpoints of one tier that can take a request now.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    /// All endpoints of the tier.
    tier: &'a [ActiveEndpoint],
    /// The index of the tier's first endpoint among all active endpoints.
    start: usize,
    /// Indices in the tier. They are in order unless the candidates were drawn.
    indices: &'a [u32],
    request: &'a PickContext<'a>,
}

/// An endpoint that can take a request now.
///
/// Each method reads the present state of the endpoint.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The active endpoint.
    entry: &'a ActiveEndpoint,
    /// The index of the endpoint among all active endpoints.
    index: usize,
    request: &'a PickContext<'a>,
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

    /// Returns the number of candidates.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Returns whether there are no candidates. A strategy always gets at least two.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the candidates. They are in the order of the configuration unless they were drawn.
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

    /// Returns the candidate with the smallest value. If several are equal, it returns the first.
    ///
    /// A value that is not a number is larger than any other value.
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

    /// Returns the index of the endpoint among all active endpoints.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the name of the endpoint.
    #[must_use]
    pub fn name(&self) -> &'a EndpointName {
        &self.entry.state.config.name
    }

    /// Returns the tier of the endpoint. All candidates have the same tier.
    #[must_use]
    pub fn tier(&self) -> u16 {
        self.entry.tier
    }

    /// Returns the weight of the endpoint for this request. Defaults to the
    /// [endpoint's own](crate::Endpoint::weight).
    #[must_use]
    #[inline]
    pub fn weight(&self) -> f64 {
        let own = |options: &RoutingOptions| options.weight_of(self.name());
        self.request
            .options
            .and_then(own)
            .unwrap_or(self.entry.weight)
    }

    /// Returns the cost of a request at the endpoint. Defaults to 1.
    #[must_use]
    #[inline]
    pub fn cost(&self) -> f64 {
        self.entry.state.config.cost
    }

    /// Returns the number of requests in flight: sent, and with a response that has not ended.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.entry.state.load.in_flight()
    }

    /// Returns the moving average of the time to the head of a successful response.
    ///
    /// Returns `None` before the first success.
    #[must_use]
    #[inline]
    pub fn latency(&self) -> Option<Duration> {
        self.entry.state.load.latency.average()
    }

    /// Returns the share of successes among the last outcomes, from 0 to 1. Defaults to 1.
    #[must_use]
    #[inline]
    pub fn health(&self) -> f64 {
        self.entry.state.breaker.health()
    }

    /// Returns the time for which the endpoint has been idle.
    #[must_use]
    #[inline]
    pub fn idle(&self) -> Duration {
        self.entry.state.load.idle(|| self.request.since_start())
    }

    /// Returns the share of the quota that remains after this request, from 0 to 1.
    ///
    /// The quota comes from the headers of the endpoint's own responses to requests with the same
    /// [`LimitKey`](steadfast_core::LimitKey). Returns `None` if it is unknown.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        let (tokens, age) = (self.request.estimated_tokens(), self.request.since_start());
        self.own_limits(|own| own.quota.headroom(tokens, age))
    }

    /// Returns the observed send rate in requests per second.
    ///
    /// Returns `None` if the endpoint was not limited lately for requests with the same
    /// [`LimitKey`](steadfast_core::LimitKey).
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.own_limits(|own| own.cooldown.rate())
    }

    /// Returns whether the endpoint is limited, or was limited lately.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.entry.state.limits.may_limit(self.request.demand)
    }

    /// Returns the share of the send rate that recent attempts have used, if the endpoint is
    /// limited.
    #[inline]
    pub(crate) fn used(&self) -> Option<f64> {
        if !self.is_limited() {
            return None;
        }
        self.own_limits(|own| own.cooldown.used(self.request.now))
    }

    /// Returns a value of the limits of the request's key.
    fn own_limits<T>(&self, value: impl FnOnce(&LimitState) -> Option<T>) -> Option<T> {
        let limits = &self.entry.state.limits;
        limits.with_own(self.request.demand, value).flatten()
    }

    /// Returns whether no attempt at the endpoint has ended yet.
    #[inline]
    pub(crate) fn is_untried(&self) -> bool {
        self.entry.state.load.is_untried()
    }

    /// Returns the moving average of the latency in seconds.
    #[inline]
    pub(crate) fn latency_seconds(&self) -> Option<f64> {
        self.entry.state.load.latency.seconds()
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
