//! What a strategy is shown.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Extensions;
use steadfast_core::EndpointName;
use tokio::time::Instant;

use crate::members::Entry;
use crate::wishes::Wishes;

/// The endpoints of one tier that could take a request now.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    tier: &'a [Entry],
    /// Where the tier begins among all endpoints.
    start: usize,
    /// A bit for each that could: of the first 64, and of the others.
    first: u64,
    others: &'a [u64],
    asking: &'a Asking<'a>,
}

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

impl<'a> Candidates<'a> {
    pub(crate) fn new(
        (tier, start): (&'a [Entry], usize),
        (first, others): (u64, &'a [u64]),
        asking: &'a Asking<'a>,
    ) -> Self {
        Self {
            tier,
            start,
            first,
            others,
            asking,
        }
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let words = [self.first].into_iter().chain(self.others.iter().copied());
        words.map(|word| word.count_ones() as usize).sum()
    }

    /// Returns whether there is none. A strategy is never asked then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let Self {
            tier,
            start,
            first,
            others,
            asking,
        } = *self;
        let words = [first].into_iter().chain(others.iter().copied());
        words.enumerate().flat_map(move |(word, bits)| {
            ones(bits).map(move |bit| {
                let at = 64 * word + bit;
                Candidate::new(&tier[at], start + at, asking)
            })
        })
    }

    /// Returns the one with the smallest value, or of several such the first.
    ///
    /// A value that is not a number is larger than any other.
    pub fn min_by<T: PartialOrd>(
        &self,
        value: impl Fn(&Candidate<'a>) -> T,
    ) -> Option<Candidate<'a>> {
        let mut best: Option<(Candidate<'a>, T)> = None;
        for candidate in self.iter() {
            let value = value(&candidate);
            if best.as_ref().is_none_or(|(_, least)| value < *least) {
                best = Some((candidate, value));
            }
        }
        best.map(|(candidate, _)| candidate)
    }
}

/// The places of the bits that are set.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (at < 64).then_some(at as usize)
    })
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

impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking")
            .field("wishes", &self.wishes)
            .finish_non_exhaustive()
    }
}
