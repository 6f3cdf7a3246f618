//! The rules: which requests are hedged, when, and for what price. No service, no future.

use std::fmt;
use std::time::Duration;

use http::request::Parts;
use steadfast_core::layer::AttemptGroup;
use steadfast_core::{Deadline, RetryBudget, RoutingOptions, Safety, Withdrawal};
use tokio::time::Instant;

use crate::digest::Digest;
use crate::layer::HedgeLayer;
use crate::share::{Saved, Share};

/// What is configured.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) delay: Delay,
    pub(crate) min_delay: Duration,
    pub(crate) max_hedges: u32,
    pub(crate) share: Share,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) safety: Safety,
}

/// After what time a request is sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delay {
    Quantile(f64),
    Fixed(Duration),
}

/// What all clones of a service share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    pub(crate) rules: Rules,
    pub(crate) copy: C,
    saved: Saved,
    /// Absent where the delay is fixed, and nothing has to be measured.
    digest: Option<Box<Digest>>,
}

/// What a further attempt costs. It comes back if that succeeds or was not sent, and not if its
/// caller leaves: servers that hang would otherwise get more load, and all of it for free.
#[derive(Debug)]
pub(crate) struct Stake(Option<Withdrawal>);

// ===== impl Rules =====

impl Default for Rules {
    fn default() -> Self {
        Self {
            delay: Delay::Quantile(HedgeLayer::DEFAULT_QUANTILE),
            min_delay: Duration::from_millis(1),
            max_hedges: 1,
            share: Share::DEFAULT,
            budget: None,
            safety: Safety::default(),
        }
    }
}

impl Rules {
    /// Whether there can be a further attempt at all.
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

// ===== impl Shared =====

impl<C> Shared<C> {
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

    /// Counts a request, from which a share of a further attempt is saved.
    pub(crate) fn count(&self) {
        self.saved.earn(self.rules.share);
    }

    /// Whether a request may be sent to several endpoints at the same time.
    pub(crate) fn may_hedge(&self, head: &Parts) -> bool {
        let extensions = &head.extensions;
        self.rules.allow_any()
            // A layer further out may hedge it already.
            && AttemptGroup::of(extensions).is_none()
            && !RoutingOptions::of(extensions).is_some_and(RoutingOptions::is_pinned)
            && self.rules.safety.allows(head)
    }

    /// After what time a request would be sent again, if that is known and comes in time.
    pub(crate) fn delay(&self, deadline: Option<Deadline>, now: Instant) -> Option<Duration> {
        let delay = match (self.rules.delay, &self.digest) {
            (Delay::Fixed(delay), _) => delay,
            (Delay::Quantile(_), digest) => digest.as_ref()?.quantile()?,
        };
        let delay = delay.max(self.rules.min_delay);
        let in_time = deadline.is_none_or(|deadline| deadline.remaining(now) > delay);
        in_time.then_some(delay)
    }

    /// Learns how long an attempt took, or at least took.
    pub(crate) fn record(&self, latency: Duration) {
        if let (Some(digest), Delay::Quantile(quantile)) = (&self.digest, self.rules.delay) {
            digest.record(latency, quantile);
        }
    }

    /// Pays for a further attempt, if its share and the budget allow one.
    pub(crate) fn pay(&self) -> Option<Stake> {
        if !self.saved.take() {
            return None;
        }
        let Some(budget) = &self.rules.budget else {
            return Some(Stake(None));
        };
        let cost = budget.try_withdraw(RetryBudget::MOVE_COST);
        if cost.is_none() {
            self.saved.give_back();
        }
        cost.map(|cost| Stake(Some(cost)))
    }

    /// Takes back what was paid for an attempt that was not sent.
    pub(crate) fn refund(&self, stake: Stake) {
        self.saved.give_back();
        stake.give_back();
    }
}

// ===== impl Stake =====

impl Stake {
    pub(crate) fn give_back(mut self) {
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
