//! The facts about a failed attempt that the policy decides on.

use std::time::Duration;

use steadfast_core::layer::Next;
use steadfast_core::{BreakerEffect, Class, SameEndpoint, Verdict, Withdrawal};
use tokio::time::Instant;

use super::limits::{Limits, Spent};

/// The state of a request after an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// The verdict on the attempt.
    pub(crate) verdict: Verdict,
    /// When the next attempt is possible, if a balancer has reported it.
    pub(crate) next: Option<Next>,
    /// Whether an endpoint was tried. A balancer may reject a request without an attempt.
    pub(crate) attempted: bool,
    /// Whether the next attempt must be counted and paid. The first attempt is free, and so is an
    /// attempt that was paid but not sent.
    pub(crate) owed: bool,
    /// The tokens that are reserved for the next attempt.
    pub(crate) paid: u32,
    /// Whether the next attempt is the first one, since no endpoint was tried yet.
    pub(crate) first: bool,
    /// Whether the attempt timed out, and the request itself may be slow.
    pub(crate) late: bool,
    /// Whether the request has a deadline, and less time has passed since the arrival than the
    /// longest wait of a request without one.
    pub(crate) young: bool,
    /// When the last attempt was sent.
    pub(crate) started: Instant,
    /// The number of other requests that were refused since the last refusal of this one.
    pub(crate) others: u32,
    /// Whether the request fails alike at endpoints that serve other requests.
    pub(crate) at_fault: bool,
    /// The caller and the kind of the request, which pay for a request that may be at fault.
    pub(crate) caller: (u64, u64),
}

/// The decision after an attempt.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Return the best outcome, for this reason.
    GiveUp(&'static str),
    /// Try again after `wait`, which may be zero.
    Again {
        wait: Duration,
        /// Whether the next attempt counts.
        counts: bool,
        cost: Option<Withdrawal>,
    },
}

impl Outcome {
    /// Returns whether the attempt was refused, so that it has cost its endpoint almost nothing.
    pub(super) fn is_refused(&self) -> bool {
        self.verdict.class().is_refusal() && self.verdict.proves_unprocessed()
    }

    /// Returns whether the attempt has cost its endpoint nothing, below a balancer that reports the
    /// wait `floor`: it found no connection, a limit refused it, or it was not sent. Its bounds are
    /// the deadline, the waits between attempts, and the breaker or the cooldown of the endpoint.
    /// A refusal without a floor and without a hint has begun no cooldown.
    pub(super) fn is_free(&self, floor: Duration, limits: Limits) -> bool {
        let hint = self.verdict.hint().filter(|_| self.attempted);
        let is_bounded = self.young && !floor.max(hint.unwrap_or_default()).is_zero();
        let is_free = match self.verdict.class() {
            _ if !self.attempted => is_bounded,
            // A neutral one, such as a refused stream, opens no breaker.
            Class::Connect => {
                limits.deadline.is_some() && self.verdict.breaker() == BreakerEffect::Failure
            }
            Class::RateLimited => is_bounded && self.verdict.proves_unprocessed(),
            _ => false,
        };
        is_free && self.next.is_some()
    }

    /// Returns whether a repeat could process the request twice.
    pub(super) fn must_not_be_repeated(&self, limits: Limits) -> bool {
        self.attempted && !limits.safe && !self.verdict.proves_unprocessed()
    }

    /// Returns whether the attempt was the one that may follow a timeout or be sent beside a slow
    /// attempt. Each attempt that runs for minutes is billed. A refusal is not.
    pub(super) fn has_followed_timeout(&self, spent: Spent) -> bool {
        let own = u32::from(self.late);
        self.attempted && !self.is_refused() && spent.late > own
    }

    /// Returns whether the request may be sent again to the only service there is.
    pub(super) fn same_endpoint(&self) -> SameEndpoint {
        match self.verdict.same_endpoint() {
            // The class is the reason of a rejection. The request itself has not failed.
            _ if !self.attempted && !self.verdict.class().is_refusal() => {
                SameEndpoint::AfterBackoff
            }
            rule => rule,
        }
    }

    /// Returns whether a limit refused the attempt, or a balancer rejected it and reports when to
    /// send it.
    pub(crate) fn is_throttled(&self) -> bool {
        self.verdict.class() == Class::RateLimited || !self.attempted
    }

    /// Whether the last attempt of an unsafe request may have been processed.
    pub(crate) fn may_have_been_processed(&self, limits: Limits) -> bool {
        let is_uncertain = matches!(
            self.verdict.class(),
            Class::Timeout | Class::Transport | Class::ServerError | Class::Overloaded
        );
        is_uncertain && self.must_not_be_repeated(limits)
    }
}
