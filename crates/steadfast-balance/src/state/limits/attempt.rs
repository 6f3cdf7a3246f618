//! The admission of an attempt by the limits of an endpoint, and its outcome.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use steadfast_core::LimitKey;
use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use super::EndpointLimits;
use super::concerned::Concerned;
use super::demand::Demand;
use super::keyed::KeyedState;
use super::limit_state::LimitState;
use super::tickets::{Admission, KeyedTicket, Level, Tickets};
use crate::state::bench::Cause;
use crate::state::cooldown::accused::Sender;
use crate::state::cooldown::others::Opening;
use crate::state::cooldown::recovery::Occasion;
use crate::state::cooldown::{Cooldown, Ticket};

/// A cooldown that has begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cooled {
    /// The requests that it concerns.
    pub(crate) concerned: Concerned,
    /// The length of the cooldown.
    pub(crate) wait: Duration,
    /// Whether a refused probe began it.
    pub(crate) by_probe: bool,
}

/// Whether an attempt keeps to the send rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The send rate allows the attempt.
    Regular,
    /// The attempt of a request with this arrival may come before the send rate allows it.
    Early(Instant),
}

impl EndpointLimits {
    /// Admits an attempt of a request with these extensions. Returns `None` if one of the limits
    /// does not admit it.
    #[inline]
    pub(crate) fn try_admit(
        &self,
        demand: &Demand,
        extensions: &Extensions,
        (pace, now): (Pace, Instant),
    ) -> Option<Tickets> {
        self.admit(demand, extensions, now, |limits| {
            self.admit_at(limits, pace, now)
        })
    }

    /// Admits a recovery probe of a request with these extensions.
    pub(crate) fn try_recover(
        &self,
        demand: &Demand,
        extensions: &Extensions,
        (occasion, now): (Occasion, Instant),
    ) -> Option<Tickets> {
        self.admit(demand, extensions, now, |limits| {
            self.may_end(limits, |cooldown| cooldown.try_recover(occasion, now))
        })
    }

    /// Admits an attempt if `admit_at` returns a ticket for all limits that apply.
    #[inline]
    fn admit(
        &self,
        demand: &Demand,
        extensions: &Extensions,
        now: Instant,
        admit_at: impl Fn(&LimitState) -> Option<Ticket>,
    ) -> Option<Tickets> {
        let wide = admit_at(&self.wide)?;
        let (age, id) = (self.age(now), self.id(demand));
        let Some(id) = id else {
            return Some(Tickets::new(age, wide, None));
        };
        // Only the first attempt with a key reads its name.
        let key = || self.aliases.key(LimitKey::of(extensions));
        let state = self.keyed.enter(id, key, age, now);
        let keyed = admit_by_key(state, admit_at);
        if keyed.is_none() {
            self.wide.cooldown.unsent(wide);
        }
        Some(Tickets::new(age, wide, Some(keyed?)))
    }

    /// Admits an attempt by one set of limits.
    #[inline]
    fn admit_at(&self, limits: &LimitState, pace: Pace, now: Instant) -> Option<Ticket> {
        if !limits.cooldown.is_busy() {
            return limits.cooldown.try_admit(now);
        }
        self.may_end(limits, |cooldown| match pace {
            Pace::Regular => cooldown.try_admit(now),
            Pace::Early(since) => cooldown.try_admit_early(since, now),
        })
    }

    /// Returns the first cooldown of an attempt that other callers test.
    pub(crate) fn opening(&self, tickets: &Tickets, now: Instant) -> Option<Opening> {
        let mut all = tickets.all(&self.wide);
        all.find_map(|at| at.limits.cooldown.opening(now))
    }

    /// Counts an attempt that is sent.
    pub(crate) fn sent(&self, tickets: &mut Tickets, tokens: Option<u64>) {
        let quota = &self.own(tickets).limits.quota;
        tickets.taken = quota.send(tokens, || tickets.pool_age());
    }

    /// Returns the tokens of an attempt that was not served.
    pub(crate) fn unserved(&self, tickets: &Tickets) {
        self.own(tickets).limits.quota.unserved(tickets.taken);
    }

    /// Releases what an attempt has reserved, because it is not sent.
    pub(crate) fn unsent(&self, tickets: &Tickets) {
        self.own(tickets).limits.quota.unsend(tickets.taken);
        self.for_each(tickets, |cooldown, ticket| cooldown.unsent(ticket));
    }

    /// Records that the caller cancelled an attempt.
    pub(crate) fn cancelled(&self, tickets: &Tickets) {
        self.for_each(tickets, |cooldown, ticket| cooldown.cancelled(ticket));
    }

    /// Releases the slots of an attempt without a verdict on the limits.
    pub(crate) fn released(&self, tickets: &Tickets) {
        self.for_each(tickets, |cooldown, ticket| cooldown.released(ticket));
    }

    /// Records an answer that is neither a success nor a refusal.
    pub(crate) fn accepted(&self, tickets: &Tickets, now: Instant) {
        let sent = self.sent_at(tickets);
        for at in tickets.all(&self.wide) {
            self.may_end(at.limits, |cooldown| {
                cooldown.accepted(at.stub.at(sent), now);
            });
        }
    }

    /// Returns whether the caller of an attempt matters, because its outcome tests a limit.
    #[inline]
    pub(crate) fn is_watched(&self, tickets: &Tickets) -> bool {
        let is_watched = |limits: &LimitState| limits.cooldown.is_watched();
        // No iterator, which would cost 50 instructions.
        is_watched(&self.wide)
            || tickets.keyed.as_ref().is_some_and(|keyed| {
                let account = || keyed.account().is_some_and(|at| is_watched(at.limits));
                is_watched(&keyed.state.limits) || account()
            })
    }

    /// Learns from a success of this sender. Calls `ended` with the requests of each cooldown that
    /// has ended.
    #[inline]
    pub(crate) fn succeeded(
        &self,
        (tickets, sender): (&Tickets, Sender),
        now: Instant,
        mut ended: impl FnMut(Concerned),
    ) {
        let age = tickets.pool_age();
        let mut learn = |at: Admission<'_>| {
            if at.limits.cooldown.served(at.stub, age) && self.ends((tickets, sender), at, now) {
                ended(at.concerned());
            }
        };
        // Most requests have no key of their own here, or one.
        learn(tickets.wide(&self.wide));
        if let Some(keyed) = &tickets.keyed {
            learn(keyed.own());
            keyed.account().into_iter().for_each(learn);
        }
    }

    /// Returns whether a success ends a cooldown, or is the first one after it.
    ///
    /// Apart, so that the success of an attempt without a limit stays in registers.
    #[inline(never)]
    fn ends(&self, (tickets, sender): (&Tickets, Sender), at: Admission<'_>, now: Instant) -> bool {
        let ticket = at.stub.at(self.sent_at(tickets)).of(sender);
        self.may_end(at.limits, |cooldown| cooldown.succeeded(ticket, now))
    }

    /// Begins a bench of the limits at one level, if the refusal is credible.
    pub(crate) fn benched(
        &self,
        tickets: &Tickets,
        (level, cause): (Level, &Cause),
        now: Instant,
        is_credible: impl FnOnce(bool) -> bool,
    ) -> Option<Cooled> {
        self.refused(tickets, level, |limits, ticket| {
            limits.cooldown.benched(ticket, cause, now, is_credible)
        })
    }

    /// Begins a cooldown of the limits at one level, as `begin` determines. The other levels only
    /// release their slots.
    pub(crate) fn refused(
        &self,
        tickets: &Tickets,
        level: Level,
        begin: impl FnOnce(&LimitState, Ticket) -> Option<Duration>,
    ) -> Option<Cooled> {
        let (refused, sent) = (self.at(tickets, level), self.sent_at(tickets));
        for other in tickets.all(&self.wide) {
            if !std::ptr::eq(other.limits, refused.limits) {
                other.limits.cooldown.released(other.stub.at(sent));
            }
        }
        let was_busy = refused.limits.cooldown.is_busy();
        let wait = begin(refused.limits, refused.stub.at(sent));
        // Evidence may end a limit, or begin a test of one.
        if wait.is_some() || was_busy != refused.limits.cooldown.is_busy() {
            self.refresh();
        }
        let wait = wait?;
        Some(Cooled {
            concerned: refused.concerned(),
            wait,
            by_probe: refused.limits.cooldown.is_refused(),
        })
    }

    /// Returns the limits of the attempt's key, or the shared ones without a key.
    #[inline]
    pub(crate) fn own<'a>(&'a self, tickets: &'a Tickets) -> Admission<'a> {
        self.at(tickets, Level::Key)
    }

    /// Returns the admission at this level.
    fn at<'a>(&'a self, tickets: &'a Tickets, level: Level) -> Admission<'a> {
        let keyed = tickets.keyed_at(level);
        keyed.unwrap_or_else(|| tickets.wide(&self.wide))
    }

    /// Returns the instant of the admission of an attempt.
    fn sent_at(&self, tickets: &Tickets) -> Instant {
        saturating_add(self.start, tickets.pool_age())
    }

    /// Calls `change` with each cooldown that admitted an attempt, and the ticket there.
    fn for_each(&self, tickets: &Tickets, change: impl Fn(&Cooldown, Ticket)) {
        let sent = self.sent_at(tickets);
        for at in tickets.all(&self.wide) {
            change(&at.limits.cooldown, at.stub.at(sent));
        }
    }

    /// Changes a state. If its limit has ended, the word loses its bit.
    fn may_end<T>(&self, limits: &LimitState, change: impl FnOnce(&Cooldown) -> T) -> T {
        let was_busy = limits.cooldown.is_busy();
        let result = change(&limits.cooldown);
        if was_busy && !limits.cooldown.is_busy() {
            self.refresh();
        }
        result
    }
}

/// Admits an attempt by the limits of its key and its account.
#[inline]
fn admit_by_key(
    (state, account): (Arc<KeyedState>, Option<Arc<KeyedState>>),
    admit_at: impl Fn(&LimitState) -> Option<Ticket>,
) -> Option<KeyedTicket> {
    let own = admit_at(&state.limits)?;
    let shared = account.as_ref();
    let Some(by_account) = shared.map_or(Some(own), |account| admit_at(&account.limits)) else {
        state.limits.cooldown.unsent(own);
        return None;
    };
    Some(KeyedTicket {
        state,
        own: own.stub(),
        account,
        by_account: by_account.stub(),
    })
}
