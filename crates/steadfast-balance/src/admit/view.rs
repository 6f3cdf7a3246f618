//! The inputs of a search among the endpoints, and what a wait for them could bring.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::Class;
use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::overload::Pressure;
use crate::admit::patience::Patience;
use crate::admit::shed::sheds;
use crate::admit::waiters::{Key, Wanted};
use crate::exhausted::WhenExhausted;
use crate::pool::Pool;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::eligibility::{Eligibility, Stage};
use crate::select::forecast::wait_behind;
use crate::select::last_resort::earliest_probe;
use crate::select::request_context::RequestContext;
use crate::select::selector::Selection;
use crate::state::EndpointState;
use crate::state::availability::Availability;
use crate::state::limits::limit_state::LimitState;

/// The inputs of a search among the endpoints.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) shared: &'a Arc<PoolContext>,
    pub(crate) snapshot: &'a PoolSnapshot,
    pub(crate) context: &'a RequestContext,
    pub(crate) eligibility: &'a Eligibility<'a>,
    /// The epoch of the queue before the search.
    pub(crate) epoch: usize,
    pub(crate) now: Instant,
}

impl<'a> View<'a> {
    /// Returns the limits of a wait for a slot that starts now, or `None` if the request does not
    /// wait for one.
    pub(crate) fn patience(
        self,
        selection: Selection,
        skip: &[u64],
        came: Instant,
    ) -> Option<Patience> {
        let config = &self.shared.config;
        let start_by = self.start_by(came);
        let until = match selection {
            Selection::WorthWaiting(_) => {
                saturating_add(self.eligibility.since(came), config.prefer_wait)
            }
            _ => self.waits_until(skip, came, start_by)?,
        };
        let until = start_by.map_or(until, |start_by| until.min(start_by));
        let patience = Patience::new(
            until,
            (came, start_by),
            self.expected_latency(),
            config.overload_wait(),
            self.pressure(start_by.is_some()),
        );
        Some(Patience {
            prefers: matches!(selection, Selection::WorthWaiting(_)),
            probes: self.next_probe(&[]).is_some(),
            ..patience
        })
    }

    /// Returns whether load is shed for this request.
    pub(super) fn sheds(self) -> bool {
        sheds(&self.shared.config, self.snapshot, self.eligibility)
    }

    /// Returns the effect of an overload on the wait of a request with or without a deadline.
    ///
    /// A pool without a closed breaker gives no slots, so a wait for its probes has no rivals.
    pub(super) fn pressure(self, has_deadline: bool) -> Pressure {
        let (queue, demand) = (&self.shared.signals.queue, self.eligibility.demand);
        if !self.sheds() {
            return Pressure::default();
        }
        let pressure = queue.pressure(demand, has_deadline, self.now);
        let is_outage = || {
            let shared = self.shared;
            self.next_probe(&[]).is_some()
                && shared.rides_out(self.eligibility, self.context, self.now)
        };
        Pressure {
            overloaded: pressure.overloaded && !is_outage(),
            ..pressure
        }
    }

    /// Returns when a request gives up its wait for any endpoint, or `None` if it does not wait.
    fn waits_until(
        self,
        skip: &[u64],
        came: Instant,
        start_by: Option<Instant>,
    ) -> Option<Instant> {
        let config = &self.shared.config;
        let mut others = self
            .candidates(Selection::NoneAdmissible)
            .filter(|endpoint| !skip.contains(&endpoint.id));
        let longest = saturating_add(came, config.max_wait);
        if config.max_wait.is_zero() {
            None
        } else if config.when_exhausted == WhenExhausted::Wait {
            others.next().map(|_| longest)
        } else if self.next_probe(&[]).is_some() {
            // A probe may show soon that an endpoint has recovered.
            Some(
                self.shared
                    .probe_wait_end(self.eligibility, self.context, came),
            )
        } else {
            // Most rejections are for cooldowns, which cost a fifth of a whole check.
            let is_paced = |endpoint: &&Arc<EndpointState>| {
                !self.surely_cools(endpoint) && self.check(endpoint).is_paced()
            };
            others.find(is_paced)?;
            Some(start_by.unwrap_or(longest))
        }
    }

    /// Returns the start of the wait for a limit, of a request that came at `since` and joins the
    /// queue now. A request that was only refused has waited for its slot outside the queue too.
    pub(crate) fn waits_since(self, since: Instant) -> Instant {
        let mut tried = self.eligibility.tried.iter();
        if tried.all(|attempt| attempt.verdict.class() == Class::RateLimited) {
            since
        } else {
            self.now
        }
    }

    /// Returns whether the endpoints have changed or all waiters were woken since the search.
    pub(crate) fn is_old(self) -> bool {
        self.snapshot.version < self.pool.version()
            || self.epoch != self.shared.signals.queue.epoch()
    }

    /// Returns the endpoints that the request waits for. If some are worth a wait, the others are
    /// left to other requests.
    pub(crate) fn candidates(
        self,
        selection: Selection,
    ) -> impl Iterator<Item = &'a Arc<EndpointState>> + use<'a> {
        let (snapshot, eligibility) = (self.snapshot, self.eligibility);
        let (end, stage) = match selection {
            Selection::WorthWaiting(end) => (end, Stage::Better),
            _ => (snapshot.active().len(), Stage::Next),
        };
        let active = snapshot.active()[..end].iter().map(|entry| &entry.state);
        let prefers = matches!(selection, Selection::WorthWaiting(_));
        active.filter(move |endpoint| {
            // The queue knows no hints of single requests.
            let is_held = || eligibility.held_until(endpoint, self.now).is_some();
            eligibility.admits(stage, endpoint) && (prefers || !is_held())
        })
    }

    /// Returns the first end of a hint, if all endpoints of the request gave it one.
    pub(super) fn held_until(self, selection: Selection) -> Option<Instant> {
        let held = |endpoint: &Arc<EndpointState>| self.eligibility.held_until(endpoint, self.now);
        let ends: Option<Vec<_>> = self.candidates(selection).map(held).collect();
        ends?.into_iter().min()
    }

    /// Returns the endpoints that the request wants, shared if it has no restrictions.
    pub(crate) fn wanted(self, selection: Selection) -> Wanted {
        match selection {
            Selection::WorthWaiting(_) => {}
            _ if self.eligibility.is_unrestricted() => return self.snapshot.all_active().clone(),
            _ => {}
        }
        self.candidates(selection).cloned().collect()
    }

    /// Returns whether `endpoint` takes no attempt of the request before the end of a cooldown.
    fn surely_cools(self, endpoint: &EndpointState) -> bool {
        let demand = self.eligibility.demand;
        // An early attempt may come before that end.
        demand.hurries_since.is_none() && endpoint.limits.cools(demand, self.now)
    }

    /// Returns the availability of `endpoint` for the request.
    fn check(self, endpoint: &EndpointState) -> Availability {
        self.eligibility.check(Stage::Next, endpoint, self.now)
    }

    /// Returns the estimated time until the slot of a request that came at `since`, behind all
    /// waiters that came before it.
    pub(crate) fn wait_for_slot(self, selection: Selection, since: Instant) -> Duration {
        let key = Key::behind(since);
        let demand = self.eligibility.demand;
        let ahead = (self.shared.signals.queue).ahead((key, demand), self.candidates(selection));
        let (end, stage) = match selection {
            Selection::WorthWaiting(end) => (end, Stage::Better),
            _ => (self.snapshot.active().len(), Stage::Ever),
        };
        let wanted = self.snapshot.active()[..end]
            .iter()
            .map(|entry| &*entry.state);
        let by_rates = || wait_behind(ahead, (self.eligibility, stage), wanted, self.now);
        let queue = &self.shared.signals.queue;
        let overloaded = queue.pressure(demand, false, self.now).overloaded;
        let counted = overloaded.then(|| queue.wait_in_overload(demand, ahead));
        counted.flatten().unwrap_or_else(by_rates)
    }

    /// Returns when the next early probe is due, if all endpoints of the request are broken.
    ///
    /// The services of the endpoints in `busy` wake the request themselves.
    pub(crate) fn next_probe(self, busy: &[u64]) -> Option<Instant> {
        if self.shared.config.probe_wait.is_zero() {
            return None;
        }
        earliest_probe(self.eligibility, busy, self.now).map(|(at, _)| at)
    }

    /// Returns whether the request has waited for the bound while every probe was refused. No
    /// evidence shows that a longer wait would help.
    pub(crate) fn is_in_vain(self, came: Instant, patience: Patience) -> bool {
        let age = self
            .now
            .saturating_duration_since(self.eligibility.since(came));
        let when_exhausted = self.shared.config.when_exhausted;
        let waits = age < patience.bound || patience.prefers;
        // A probe of an untried endpoint shows soon whether the wait helps.
        if waits
            || when_exhausted == WhenExhausted::Wait
            || self
                .shared
                .has_probe(self.eligibility, self.context, came, self.now)
            || (self.shared).rides_out(self.eligibility, self.context, self.now)
        {
            return false;
        }
        self.is_refused()
    }

    /// Returns whether each endpoint of the request is broken, or has refused its last probe.
    fn is_refused(self) -> bool {
        let mut refused = 0;
        self.candidates(Selection::NoneAdmissible).all(|endpoint| {
            let is_refused = endpoint.limits.is_refused(self.eligibility.demand);
            refused += usize::from(is_refused);
            is_refused || matches!(self.check(endpoint), Availability::Broken { .. })
        }) && refused > 0
    }

    /// Returns the latency of the fastest endpoint of the request. Zero without a success.
    fn expected_latency(self) -> Duration {
        self.candidates(Selection::NoneAdmissible)
            .filter_map(|endpoint| endpoint.load.latency.average())
            .min()
            .unwrap_or_default()
    }

    /// Returns the latest start of an attempt with a probable response before the deadline, if the
    /// request has one.
    fn start_by(self, came: Instant) -> Option<Instant> {
        let deadline = self.context.deadline?;
        let demand = self.eligibility.demand;
        let slowest = self
            .candidates(Selection::NoneAdmissible)
            .filter_map(|endpoint| {
                let patience = |limits: &LimitState| limits.cooldown.patience();
                let patience = (endpoint.limits).fold(demand, patience, Option::max);
                endpoint.load.latency.seldom_more().max(patience)
            })
            .max()
            .unwrap_or_default();
        // A rare slow response must not rule out the wait, so the margin is at most half the time.
        let at_most = deadline.remaining(came) / 2;
        deadline.instant().checked_sub(slowest.min(at_most))
    }
}

#[cfg(test)]
mod tests;
