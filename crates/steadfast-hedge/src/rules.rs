//! The rules: which requests are hedged, when, and at which cost. No service, no future.

use std::fmt;
use std::time::Duration;

use http::request::Parts;
use steadfast_core::layer::{AttemptGroup, TICK};
use steadfast_core::{Deadline, RetryBudget, RoutingOptions, Safety, Withdrawal};
use tokio::time::Instant;

use crate::digest::Digest;
use crate::quantile::Quantile;
use crate::share::{Saved, Share};

/// The configuration.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) delay: Delay,
    pub(crate) min_delay: Duration,
    pub(crate) max_hedges: u32,
    pub(crate) share: Share,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) safety: Safety,
}

/// The time before a hedge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delay {
    Fixed(Duration),
    Quantile(Quantile),
}

/// The state that the clones of a service share.
#[derive(Debug)]
pub(crate) struct Hedging<C> {
    pub(crate) rules: Rules,
    pub(crate) copy: C,
    saved: Saved,
    /// Absent if the delay is fixed.
    digest: Option<Box<Digest>>,
}

/// The cost of a hedge. It is refunded if the hedge succeeds or was not sent, and spent if the
/// caller leaves: an endpoint that hangs would otherwise get more load for free.
#[derive(Debug)]
pub(crate) struct Stake(Option<Withdrawal>);

// ===== impl Rules =====

impl Default for Rules {
    fn default() -> Self {
        Self {
            delay: Delay::Quantile(Quantile::DEFAULT),
            min_delay: TICK,
            max_hedges: 1,
            share: Share::DEFAULT,
            budget: None,
            safety: Safety::default(),
        }
    }
}

impl Rules {
    /// Whether any request can be hedged.
    fn allow_any(&self) -> bool {
        self.max_hedges > 0 && self.share != Share::NONE
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("delay", &self.delay)
            .field("min_delay", &self.min_delay)
            .field("max_hedges", &self.max_hedges)
            .field("share", &self.share)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

// ===== impl Hedging =====

impl<C> Hedging<C> {
    pub(crate) fn new(rules: Rules, copy: C) -> Self {
        let measures = matches!(rules.delay, Delay::Quantile(_));
        Self {
            rules,
            copy,
            saved: Saved::default(),
            digest: measures.then(|| Box::new(Digest::new())),
        }
    }

    pub(crate) fn measures(&self) -> bool {
        self.digest.is_some()
    }

    /// Counts a request, which earns a share of a hedge.
    pub(crate) fn count(&self) {
        self.saved.earn(self.rules.share);
    }

    /// Returns whether a request may be sent to several endpoints at the same time.
    pub(crate) fn may_hedge(&self, head: &Parts) -> bool {
        let extensions = &head.extensions;
        self.rules.allow_any()
            // A layer further out may hedge the request already.
            && AttemptGroup::of(extensions).is_none()
            && !RoutingOptions::of(extensions).is_some_and(RoutingOptions::is_pinned)
            && self.rules.safety.allows(head)
    }

    /// Returns the time before a hedge, if it is known and ends before the deadline.
    pub(crate) fn delay(&self, deadline: Option<Deadline>, now: Instant) -> Option<Duration> {
        let delay = match (self.rules.delay, &self.digest) {
            (Delay::Fixed(delay), _) => delay,
            (Delay::Quantile(_), digest) => digest.as_ref()?.quantile()?,
        };
        let delay = delay.max(self.rules.min_delay);
        let in_time = deadline.is_none_or(|deadline| deadline.remaining(now) > delay);
        in_time.then_some(delay)
    }

    /// Records the latency of an attempt, or a lower bound of it.
    pub(crate) fn record(&self, latency: Duration) {
        if let (Some(digest), Delay::Quantile(quantile)) = (&self.digest, self.rules.delay) {
            digest.record(latency, quantile);
        }
    }

    /// Pays for a hedge, if the share and the budget allow one.
    pub(crate) fn pay(&self) -> Option<Stake> {
        if !self.saved.take() {
            return None;
        }
        let Some(budget) = &self.rules.budget else {
            return Some(Stake(None));
        };
        let cost = budget.try_withdraw(RetryBudget::MOVE_COST);
        if cost.is_none() {
            self.saved.refund();
        }
        cost.map(|cost| Stake(Some(cost)))
    }

    /// Refunds a hedge that was not sent.
    pub(crate) fn refund(&self, stake: Stake) {
        self.saved.refund();
        stake.refund();
    }
}

// ===== impl Stake =====

impl Stake {
    /// Refunds the budget.
    pub(crate) fn refund(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Stake {
    fn drop(&mut self) {
        if let Some(cost) = self.0.take() {
            cost.spend();
        }
    }
}
