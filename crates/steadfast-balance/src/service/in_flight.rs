//! A request on its way to an endpoint: what it has reserved there, and how that is settled.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Response, StatusCode};
use steadfast_breaker::{Detached, Permit};
use steadfast_core::layer::Next;
use steadfast_core::{Attempt, BoxError, Class, Event, RateLimit, Verdict};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::pool::Pool;
use crate::pool::snapshot::{ActiveEndpoint, PooledEndpoint};
use crate::select::request_context::RequestContext;
use crate::state::cooldown::Ticket;
use steadfast_core::layer::{AttemptGroup, AttemptSlot, End, OnEnd, RecordAttempts, verdict_of};

/// A request on its way to an endpoint: what it asks for, and what it has reserved there. Dropping
/// it before that is settled, as a caller who leaves does, gives it back and notes that the attempt
/// was cancelled.
pub(crate) struct InFlight {
    pub(crate) context: RequestContext,
    pub(crate) reserved: Reservation,
}

/// What an attempt has reserved at an endpoint. Nothing before an endpoint has admitted it, and
/// after it is settled.
#[derive(Default)]
pub(crate) struct Reservation {
    load: Option<LoadGuard>,
    /// Keeps the other attempts of the request away, as long as this one is under way.
    place: Option<AttemptSlot>,
}

/// What an attempt came to, and by which answer.
type AttemptOutcome = (Verdict, Option<StatusCode>);

/// A place among the requests in flight, with the breaker's permit. It goes with the response
/// to the end of its body.
pub(crate) struct LoadGuard {
    endpoint: Arc<PooledEndpoint>,
    tier: u16,
    /// None at an endpoint that was asked although its breaker is open.
    permit: Option<Permit<Detached>>,
    ticket: Ticket,
}

// ===== impl InFlight =====

impl InFlight {
    pub(crate) fn new(context: RequestContext) -> Self {
        Self {
            context,
            reserved: Reservation::default(),
        }
    }

    /// The endpoint that has admitted it.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.reserved.load().endpoint.state.config
    }

    /// Settles the attempt by the head of its response. A success goes on to its body.
    pub(crate) fn respond<B>(&mut self, pool: &Pool, response: &Response<B>) -> Option<LoadGuard> {
        self.reserved.respond(&self.context, pool, response)
    }

    /// Settles the attempt by the error of the client.
    pub(crate) fn error(&mut self, pool: &Pool, error: &BoxError) {
        self.reserved.error(&self.context, pool, error);
    }

    /// Gives back what was reserved, for a request that will not be sent at all.
    pub(crate) fn withdraw(&mut self) {
        if let Some(trail) = &self.context.trail {
            trail.set_next(Next::Never);
        }
        self.reserved.give_back();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.reserved.cancel(&self.context);
    }
}

// ===== impl Reservation =====

impl Reservation {
    /// Reserves a place at an endpoint. Returns `false` if somebody else took the last one.
    pub(crate) fn try_admit(
        &mut self,
        entry: &ActiveEndpoint,
        context: &RequestContext,
        now: Instant,
    ) -> bool {
        let endpoint = &entry.state;
        let Some(ticket) = endpoint.cooldown.try_admit(now) else {
            return false;
        };
        let Ok(permit) = endpoint.breaker.at(now).try_acquire_detached() else {
            endpoint.cooldown.unsent(ticket);
            return false;
        };
        self.admit(entry, (ticket, Some(permit)), context, now);
        true
    }

    /// Reserves a place although the breaker is open, unless the endpoint is limited.
    pub(crate) fn try_admit_as_last_resort(
        &mut self,
        entry: &ActiveEndpoint,
        context: &RequestContext,
        now: Instant,
    ) -> bool {
        let Some(ticket) = entry.state.cooldown.try_admit(now) else {
            return false;
        };
        self.admit(entry, (ticket, None), context, now);
        true
    }

    #[inline]
    fn admit(
        &mut self,
        entry: &ActiveEndpoint,
        (ticket, permit): (Ticket, Option<Permit<Detached>>),
        context: &RequestContext,
        now: Instant,
    ) {
        entry.state.enter(context.tokens(), now);
        self.load = Some(LoadGuard {
            endpoint: entry.pooled.clone(),
            tier: entry.tier,
            permit,
            ticket,
        });
        let name = &entry.state.config.name;
        self.place = context.group.as_ref().map(|group| group.enter(name, now));
    }

    fn load(&self) -> &LoadGuard {
        self.load.as_ref().expect("an endpoint has admitted it")
    }

    /// Ends the attempt.
    fn take(&mut self) -> Option<LoadGuard> {
        self.place = None;
        self.load.take()
    }

    fn respond<B>(
        &mut self,
        context: &RequestContext,
        pool: &Pool,
        response: &Response<B>,
    ) -> Option<LoadGuard> {
        let verdict = verdict_of(Ok(response));
        if !verdict.is_success() {
            let load = self.take()?;
            load.fail(context, pool, (verdict, Some(response.status())));
            return None;
        }
        // Where it lies, and moved once: to the response.
        let load = self.load.as_mut()?;
        let now = Instant::now();
        load.note(context, (verdict, Some(response.status())), now);
        let endpoint = &*load.endpoint.state;
        let since_start = endpoint.since_start(now);
        endpoint.load.used(since_start);
        let over = endpoint.succeeded(load.ticket, now);
        if over {
            let endpoint = endpoint.config.name.clone();
            let observers = &load.endpoint.signals.observers;
            observers.emit(&Event::CooldownEnded { endpoint });
        }
        if RateLimit::may_be_in(response.headers()) {
            let limit = RateLimit::from_headers(response.headers(), SystemTime::now());
            endpoint.quota.learn(&limit, since_start);
            // The endpoint says itself that the next request will be refused, if that needs as much.
            let pause = limit.pause(context.tokens());
            if let Some(wait) = pause.filter(|wait| !wait.is_zero()) {
                let wait = endpoint.cooldown.spent(load.ticket, wait, now);
                load.tell_of_cooldown(Class::Success, wait);
            }
        }
        if let Some(permit) = &mut load.permit {
            permit.head(&load.endpoint.state.breaker, verdict);
        }
        load.endpoint.signals.notify_waiters(now);
        self.take()
    }

    /// Settles the attempt by the error of the client.
    pub(crate) fn error(&mut self, context: &RequestContext, pool: &Pool, error: &BoxError) {
        let verdict = verdict_of::<()>(Err(&**error));
        if let Some(load) = self.take() {
            load.fail(context, pool, (verdict, None));
        }
    }

    /// Gives back what was reserved, for a request that is not sent. That is no attempt.
    pub(crate) fn give_back(&mut self) {
        if let Some(place) = self.place.take() {
            place.unsent();
        }
        if let Some(load) = self.take() {
            load.endpoint.state.cooldown.unsent(load.ticket);
        }
    }

    fn cancel(&mut self, context: &RequestContext) {
        let Some(mut load) = self.take() else {
            return;
        };
        load.endpoint.state.load.was_in_vain();
        load.endpoint.state.cooldown.cancelled(load.ticket);
        let now = Instant::now();
        let waited = load.ticket.age(now);
        // It was dropped since another attempt was faster, and not by its caller.
        let has_lost = context.group.as_ref().is_some_and(AttemptGroup::is_decided);
        let class = match load.endpoint.signals.abandoned_after {
            Some(after) if waited > after && !has_lost => Class::Timeout,
            _ => Class::Cancelled,
        };
        let verdict = Verdict::new(class);
        load.note(context, (verdict, None), now);
        if let Some(permit) = load.permit.take() {
            permit.record(&load.endpoint.state.breaker, verdict);
        }
    }
}

// ===== impl LoadGuard =====

impl LoadGuard {
    /// Settles an attempt that did not succeed.
    fn fail(mut self, context: &RequestContext, pool: &Pool, (verdict, status): AttemptOutcome) {
        let now = Instant::now();
        self.note(context, (verdict, status), now);
        let endpoint = &*self.endpoint.state;
        endpoint.load.used(endpoint.since_start(now));
        endpoint.load.was_in_vain();
        let wait = endpoint.refused(self.ticket, verdict, status, now);
        self.settle(verdict, wait);
        if let Some(trail) = &context.trail {
            trail.set_next(pool.shared.next(&pool.snapshot(), context, now));
        }
    }

    fn note(&self, context: &RequestContext, (verdict, status): AttemptOutcome, now: Instant) {
        if let Some(trail) = &context.trail {
            let mut attempt = Attempt::until(self.ticket.sent(), now, verdict);
            attempt.endpoint = Some(self.endpoint.state.config.name.clone());
            attempt.tier = self.tier;
            attempt.status = status;
            attempt.hedge = context.is_hedge();
            trail.record(attempt);
        }
    }

    /// Records a verdict that is no success, after which the endpoint is left alone for `wait`.
    fn settle(&mut self, verdict: Verdict, wait: Option<Duration>) {
        self.tell_of_cooldown(verdict.class(), wait);
        // All that an overloaded endpoint answers before its hint has passed is one failure.
        let repeated =
            verdict.class() == Class::Overloaded && verdict.hint().is_some() && wait.is_none();
        if let Some(permit) = self.permit.take() {
            let verdict = if repeated { verdict.neutral() } else { verdict };
            permit.record(&self.endpoint.state.breaker, verdict);
        }
    }

    fn tell_of_cooldown(&self, class: Class, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.endpoint.signals.observers.emit(&Event::Cooldown {
                endpoint: self.endpoint.state.config.name.clone(),
                class,
                wait,
            });
        }
    }
}

impl OnEnd for LoadGuard {
    fn on_end(&mut self, end: End) {
        // The verdict on the head stands unless the body breaks.
        if let End::Broken(verdict) = end {
            let wait = self
                .endpoint
                .state
                .broke(self.ticket, verdict, Instant::now());
            self.settle(verdict, wait);
        }
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        // First: whoever is told of a change is to see it.
        if let Some(permit) = self.permit.take() {
            permit.end(&self.endpoint.state.breaker);
        }
        self.endpoint.state.load.leave();
        if self.endpoint.signals.queue.len() > 0 {
            self.endpoint.signals.notify_waiters(Instant::now());
        }
    }
}

impl fmt::Debug for LoadGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadGuard")
            .field("endpoint", &self.endpoint.state.config.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pool;
    use crate::state::cooldown::Refusal;

    /// Between the look at an endpoint and its reservation the breaker may have opened. The place
    /// after the cooldown was taken by then.
    #[tokio::test(start_paused = true)]
    async fn a_breaker_that_refuses_leaves_the_cooldown_as_it_was() {
        let pool = pool(&[0]);
        let now = Instant::now();
        let snapshot = pool.snapshot();
        let entry = &snapshot.active()[0];
        let endpoint = &entry.state;
        let ticket = endpoint.cooldown.try_admit(now).expect("clear");
        let refusal = Refusal {
            hint: Some(Duration::ZERO),
            ..Refusal::default()
        };
        endpoint.cooldown.refused(ticket, refusal, now);
        while let Ok(permit) = endpoint.breaker.try_acquire() {
            permit.record(Verdict::new(Class::Timeout));
        }

        let mut in_flight = InFlight::new(RequestContext::default());
        let InFlight { context, reserved } = &mut in_flight;
        assert!(!reserved.try_admit(entry, context, now));
        assert!(endpoint.cooldown.would_admit(now));
        assert_eq!(endpoint.load.in_flight(), 0);
    }
}
