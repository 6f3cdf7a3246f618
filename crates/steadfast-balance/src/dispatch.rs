//! A request on its way to an endpoint: what it has reserved there, and how that is settled.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Response, StatusCode};
use steadfast_breaker::DetachedPermit;
use steadfast_core::{
    Attempt, BoxError, Class, End, Event, Next, OnEnd, RateLimit, Verdict, verdict_of,
};
use tokio::time::Instant;

use crate::asked::Asked;
use crate::cooldown::Ticket;
use crate::endpoint::Endpoint;
use crate::member::Member;
use crate::members::Entry;
use crate::pool::Pool;
use steadfast_core::layer::{AttemptGroup, AttemptSlot, RecordAttempts};

/// A request on its way to an endpoint: what it asks for, and what it has reserved there. Dropping
/// it before that is settled, as a caller who leaves does, gives it back and notes that the attempt
/// was cancelled.
pub(crate) struct Dispatch {
    pub(crate) asked: Asked,
    pub(crate) reserved: Reserved,
}

/// What an attempt has reserved at an endpoint. Nothing before an endpoint has admitted it, and
/// after it is settled.
#[derive(Default)]
pub(crate) struct Reserved {
    load: Option<Load>,
    /// Keeps the other attempts of the request away, as long as this one is under way.
    place: Option<AttemptSlot>,
}

/// What an attempt came to, and by which answer.
type Told = (Verdict, Option<StatusCode>);

/// A place among the requests in flight, with the breaker's permit. It goes with the response
/// to the end of its body.
pub struct Load {
    member: Arc<Member>,
    tier: u16,
    /// None at an endpoint that was asked although its breaker is open.
    permit: Option<DetachedPermit>,
    ticket: Ticket,
}

// ===== impl Dispatch =====

impl Dispatch {
    pub(crate) fn new(asked: Asked) -> Self {
        Self {
            asked,
            reserved: Reserved::default(),
        }
    }

    /// The endpoint that has admitted it.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.reserved.load().member.endpoint
    }

    /// Settles the attempt by the head of its response. A success goes on to its body.
    pub(crate) fn respond<B>(&mut self, pool: &Pool, response: &Response<B>) -> Option<Load> {
        self.reserved.respond(&self.asked, pool, response)
    }

    /// Settles the attempt by the error of the client.
    pub(crate) fn error(&mut self, pool: &Pool, error: &BoxError) {
        self.reserved.error(&self.asked, pool, error);
    }

    /// Gives back what was reserved, for a request that will not be sent at all.
    pub(crate) fn withdraw(&mut self) {
        if let Some(trail) = &self.asked.trail {
            trail.set_next(Next::Never);
        }
        self.reserved.give_back();
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.reserved.cancel(&self.asked);
    }
}

// ===== impl Reserved =====

impl Reserved {
    /// Reserves a place at an endpoint. Returns `false` if somebody else took the last one.
    pub(crate) fn try_admit(&mut self, entry: &Entry, asked: &Asked, now: Instant) -> bool {
        let member = &entry.member;
        let Some(ticket) = member.cooldown.try_admit(now) else {
            return false;
        };
        let Ok(permit) = member.breaker.try_acquire_detached_at(now) else {
            member.cooldown.unsent(ticket);
            return false;
        };
        self.admit(entry, (ticket, Some(permit)), asked, now);
        true
    }

    /// Reserves a place although the breaker is open, unless the endpoint is limited.
    pub(crate) fn try_admit_as_last_resort(
        &mut self,
        entry: &Entry,
        asked: &Asked,
        now: Instant,
    ) -> bool {
        let Some(ticket) = entry.member.cooldown.try_admit(now) else {
            return false;
        };
        self.admit(entry, (ticket, None), asked, now);
        true
    }

    #[inline]
    fn admit(
        &mut self,
        entry: &Entry,
        (ticket, permit): (Ticket, Option<DetachedPermit>),
        asked: &Asked,
        now: Instant,
    ) {
        entry.member.enter(asked.tokens(), now);
        self.load = Some(Load {
            member: entry.member.clone(),
            tier: entry.tier,
            permit,
            ticket,
        });
        let name = &entry.member.endpoint.name;
        self.place = asked.group.as_ref().map(|group| group.enter(name, now));
    }

    fn load(&self) -> &Load {
        self.load.as_ref().expect("an endpoint has admitted it")
    }

    /// Ends the attempt.
    fn take(&mut self) -> Option<Load> {
        self.place = None;
        self.load.take()
    }

    fn respond<B>(&mut self, asked: &Asked, pool: &Pool, response: &Response<B>) -> Option<Load> {
        // Before anything is taken: a classifier that panics leaves a cancelled attempt.
        let verdict = verdict_of(&*pool.shared.rules.classifier, Ok(response));
        if !verdict.is_success() {
            let load = self.take()?;
            load.fail(asked, pool, (verdict, Some(response.status())));
            return None;
        }
        // Where it lies, and moved once: to the response.
        let load = self.load.as_mut()?;
        let now = Instant::now();
        load.note(asked, (verdict, Some(response.status())), now);
        let member = &*load.member;
        let since_start = member.shared.since_start(now);
        member.traffic.used(since_start);
        let over = member.succeeded(load.ticket, now);
        if over {
            let endpoint = member.endpoint.name.clone();
            member
                .shared
                .rules
                .observers
                .emit(&Event::CooldownEnded { endpoint });
        }
        if RateLimit::may_be_in(response.headers()) {
            let limit = RateLimit::from_headers(response.headers(), SystemTime::now());
            member.quota.learn(&limit, since_start);
            // The endpoint says itself that the next request will be refused, if that needs as much.
            let pause = limit.pause(asked.tokens());
            if let Some(wait) = pause.filter(|wait| !wait.is_zero()) {
                let wait = member.cooldown.spent(load.ticket, wait, now);
                load.tell_of_cooldown(Class::Success, wait);
            }
        }
        if let Some(permit) = &mut load.permit {
            permit.head(&load.member.breaker, verdict);
        }
        load.member.shared.turned(now);
        self.take()
    }

    /// Settles the attempt by the error of the client.
    pub(crate) fn error(&mut self, asked: &Asked, pool: &Pool, error: &BoxError) {
        let verdict = pool.shared.rules.classifier.classify(Err(&**error));
        if let Some(load) = self.take() {
            load.fail(asked, pool, (verdict, None));
        }
    }

    /// Gives back what was reserved, for a request that is not sent. That is no attempt.
    pub(crate) fn give_back(&mut self) {
        if let Some(place) = self.place.take() {
            place.unsent();
        }
        if let Some(load) = self.take() {
            load.member.cooldown.unsent(load.ticket);
        }
    }

    fn cancel(&mut self, asked: &Asked) {
        let Some(mut load) = self.take() else {
            return;
        };
        load.member.traffic.was_in_vain();
        load.member.cooldown.cancelled(load.ticket);
        let now = Instant::now();
        let waited = load.ticket.age(now);
        // It was dropped since another attempt was faster, and not by its caller.
        let has_lost = asked.group.as_ref().is_some_and(AttemptGroup::is_decided);
        let class = match load.member.shared.rules.abandoned_after {
            Some(after) if waited > after && !has_lost => Class::Timeout,
            _ => Class::Cancelled,
        };
        let verdict = Verdict::new(class);
        load.note(asked, (verdict, None), now);
        if let Some(permit) = load.permit.take() {
            permit.record(&load.member.breaker, verdict);
        }
    }
}

// ===== impl Load =====

impl Load {
    /// Settles an attempt that did not succeed.
    fn fail(mut self, asked: &Asked, pool: &Pool, (verdict, status): Told) {
        let now = Instant::now();
        self.note(asked, (verdict, status), now);
        let member = &*self.member;
        member.traffic.used(member.shared.since_start(now));
        member.traffic.was_in_vain();
        let wait = member.refused(self.ticket, verdict, status, now);
        self.settle(verdict, wait);
        if let Some(trail) = &asked.trail {
            trail.set_next(self.member.shared.next(&pool.members(), asked, now));
        }
    }

    fn note(&self, asked: &Asked, (verdict, status): Told, now: Instant) {
        if let Some(trail) = &asked.trail {
            let mut attempt = Attempt::until(self.ticket.sent(), now, verdict);
            attempt.endpoint = Some(self.member.endpoint.name.clone());
            attempt.tier = self.tier;
            attempt.status = status;
            attempt.hedge = asked.is_hedge();
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
            permit.record(&self.member.breaker, verdict);
        }
    }

    fn tell_of_cooldown(&self, class: Class, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.member.shared.rules.observers.emit(&Event::Cooldown {
                endpoint: self.member.endpoint.name.clone(),
                class,
                wait,
            });
        }
    }
}

impl OnEnd for Load {
    fn on_end(&mut self, end: End) {
        // The verdict on the head stands unless the body breaks.
        if let End::Broken(verdict) = end {
            let wait = self.member.broke(self.ticket, verdict, Instant::now());
            self.settle(verdict, wait);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // First: whoever is told of a change is to see it.
        if let Some(permit) = self.permit.take() {
            permit.end(&self.member.breaker);
        }
        self.member.traffic.leave();
        if self.member.shared.queue.len() > 0 {
            self.member.shared.turned(Instant::now());
        }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("endpoint", &self.member.endpoint.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cooldown::Refusal;
    use crate::pool::tests::pool;

    /// Between the look at an endpoint and its reservation the breaker may have opened. The place
    /// after the cooldown was taken by then.
    #[tokio::test(start_paused = true)]
    async fn a_breaker_that_refuses_leaves_the_cooldown_as_it_was() {
        let pool = pool(&[0]);
        let now = Instant::now();
        let members = pool.members();
        let entry = &members.active()[0];
        let member = &entry.member;
        let ticket = member.cooldown.try_admit(now).expect("clear");
        let refusal = Refusal {
            hint: Some(Duration::ZERO),
            ..Refusal::default()
        };
        member.cooldown.refused(ticket, refusal, now);
        while let Ok(permit) = member.breaker.try_acquire() {
            permit.record(Verdict::new(Class::Timeout));
        }

        let mut dispatch = Dispatch::new(Asked::default());
        let Dispatch { asked, reserved } = &mut dispatch;
        assert!(!reserved.try_admit(entry, asked, now));
        assert!(member.cooldown.would_admit(now));
        assert_eq!(member.traffic.in_flight(), 0);
    }
}
