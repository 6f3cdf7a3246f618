//! The trail, the deadline and the routing options of a request.

use std::num::NonZeroU64;

use http::Extensions;
use steadfast_core::layer::{AttemptGroup, Next, RecordAttempts};
use steadfast_core::{Deadline, EndpointName, RoutingOptions, Trail};

use crate::pool::context::PoolContext;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::eligibility::Eligibility;
use crate::state::cooldown::accused::Sender;
use crate::state::limits::demand::Demand;

/// The number of distinct tiers per rank.
const TIERS_OF_RANK: u16 = 256;

/// The trail, the deadline and the routing options of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestContext {
    /// The earlier attempts of the request.
    pub(crate) trail: Option<Trail>,
    /// The deadline of the request.
    pub(crate) deadline: Option<Deadline>,
    /// The routing options of the request.
    pub(crate) options: Option<RoutingOptions>,
    /// The attempts of the request that run at the same time.
    pub(crate) group: Option<AttemptGroup>,
    /// The limits that apply to the request.
    pub(crate) demand: Demand,
    /// The caller, if the outcome of the attempt tests a limit.
    pub(crate) caller: Option<NonZeroU64>,
}

impl RequestContext {
    /// Reads the extensions of a request.
    ///
    /// The attempt group is removed, because it belongs to this balancer and not to an inner one.
    #[inline]
    pub(crate) fn take(extensions: &mut Extensions) -> Self {
        // Most requests have no extensions.
        if extensions.is_empty() {
            return Self::default();
        }
        let mut left = extensions.len();
        let key = search(extensions, &mut left);
        let trail: Option<Trail> = search(extensions, &mut left).cloned();
        let options: Option<RoutingOptions> = search(extensions, &mut left).cloned();
        let deadline: Option<Deadline> = search(extensions, &mut left).copied();
        let demand = Demand::new(key, tokens_of(options.as_ref()));
        let group = (left > 0).then(|| extensions.remove()).flatten();
        Self {
            demand: demand.hurry(
                trail
                    .as_ref()
                    .filter(|_| may_wait(group.as_ref()))
                    .map(Trail::arrived),
            ),
            trail,
            deadline,
            options,
            group: group.inspect(AttemptGroup::set_balanced),
            caller: None,
        }
    }

    /// Returns the lasting part of the context: the limits and the routing options.
    pub(crate) fn without_attempts(&self) -> Self {
        Self {
            options: self.options.clone(),
            demand: self.demand,
            ..Self::default()
        }
    }

    /// Returns a number that no other present request has, if a layer above retries this one.
    pub(crate) fn identity(&self) -> Option<usize> {
        self.trail.as_ref().map(Trail::identity)
    }

    /// Returns the position of an outcome from an endpoint of `tier`. The root cause of a failure
    /// has the lowest position. Ranks precede tiers.
    pub(crate) fn position_of(&self, name: &EndpointName, tier: u16) -> u16 {
        let ranked = self.options.as_ref().filter(|own| own.has_ranks());
        ranked.map_or(tier, |own| {
            let rank = u16::try_from(own.rank_of(name)).unwrap_or(u16::MAX);
            let tiers = rank.saturating_mul(TIERS_OF_RANK);
            tiers.saturating_add(tier.min(TIERS_OF_RANK - 1))
        })
    }

    /// Returns the estimated tokens of the request.
    pub(crate) fn tokens(&self) -> Option<u64> {
        self.demand.tokens
    }

    /// Returns the sender of the attempt.
    #[inline]
    pub(crate) fn sender(&self) -> Sender {
        Sender {
            caller: self.caller,
            tokens: self.tokens().unwrap_or_default(),
        }
    }

    /// Returns whether this attempt is a hedge. The first attempt still runs then.
    pub(crate) fn is_hedge(&self) -> bool {
        self.group.as_ref().is_some_and(AttemptGroup::is_hedge)
    }

    /// Returns the endpoints that are eligible for this attempt.
    #[inline]
    pub(crate) fn eligibility<'a>(
        &'a self,
        shared: &PoolContext,
        snapshot: &'a PoolSnapshot,
    ) -> Eligibility<'a> {
        let trail = self.trail.as_ref().filter(|trail| !trail.is_empty());
        let next = trail.and_then(Trail::last_next);
        let group = self.group.as_ref();
        Eligibility {
            snapshot,
            options: self.options.as_ref(),
            demand: &self.demand,
            prefer_wait: shared.config.prefer_wait,
            deadline: self.deadline,
            caller: self.caller,
            hurries: false,
            arrived: self.trail.as_ref().map(Trail::arrived),
            tried: trail.map(Trail::attempts).unwrap_or_default(),
            excluded: group.map(AttemptGroup::excluded).unwrap_or_default(),
            lost: Vec::new(),
            is_hedge: self.is_hedge(),
            moves: matches!(next, Some(Next::Now | Next::RetrySameNow)),
        }
    }

    /// Returns the endpoints that are eligible after all attempts in flight have failed. The next
    /// attempt is not a hedge.
    pub(crate) fn eligibility_after_all<'a>(
        &'a self,
        shared: &PoolContext,
        snapshot: &'a PoolSnapshot,
    ) -> Eligibility<'a> {
        let group = self.group.as_ref();
        Eligibility {
            excluded: group.map(AttemptGroup::endpoints).unwrap_or_default(),
            is_hedge: false,
            ..self.eligibility(shared, snapshot)
        }
    }
}

/// Returns an extension. `left` is the number of extensions that were not found yet: without any,
/// a search ends at once.
#[inline]
fn search<'a, T: Send + Sync + 'static>(
    extensions: &'a Extensions,
    left: &mut usize,
) -> Option<&'a T> {
    let found = (*left > 0).then(|| extensions.get()).flatten();
    *left -= usize::from(found.is_some());
    found
}

/// Returns whether the attempt is no hedge. A hedge does not wait.
fn may_wait(group: Option<&AttemptGroup>) -> bool {
    !group.is_some_and(AttemptGroup::is_hedge)
}

/// Returns the estimated tokens in the routing options.
fn tokens_of(options: Option<&RoutingOptions>) -> Option<u64> {
    options.and_then(RoutingOptions::tokens)
}
