//! An attempt that an endpoint has admitted: what it reserved, and how it is settled.

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
use crate::hedge::{Place, Race};
use crate::member::Member;
use crate::members::Entry;
use crate::pool::{Pool, Shared};

/// An attempt before the head of its response. Dropping it before it is settled, as a caller who
/// leaves does, gives back what it reserved and notes that it was cancelled.
pub(crate) struct Admitted {
    load: Option<Load>,
    tier: u16,
    asked: Asked,
    /// Keeps the other attempts of the request away, as long as this one is under way.
    place: Option<Place>,
}

/// A place among the requests in flight, with the breaker's permit. It goes with the response
/// to the end of its body.
pub struct Load {
    member: Arc<Member>,
    /// None at an endpoint that was asked although its breaker is open.
    permit: Option<DetachedPermit>,
    ticket: Ticket,
}

// ===== impl Admitted =====

impl Admitted {
    /// Reserves a place at an endpoint, or returns `None` if somebody else took the last one.
    pub(crate) fn try_new(entry: &Entry, asked: &Asked, now: Instant) -> Option<Self> {
        let member = &entry.member;
        let ticket = member.cooldown.try_admit(now)?;
        let Ok(permit) = member.breaker.try_acquire_detached_at(now) else {
            member.cooldown.unsent(ticket);
            return None;
        };
        Some(Self::new(entry, (ticket, Some(permit)), asked, now))
    }

    /// Reserves a place although the breaker is open, unless the endpoint is limited.
    pub(crate) fn as_last_resort(entry: &Entry, asked: &Asked, now: Instant) -> Option<Self> {
        let ticket = entry.member.cooldown.try_admit(now)?;
        Some(Self::new(entry, (ticket, None), asked, now))
    }

    fn new(
        entry: &Entry,
        (ticket, permit): (Ticket, Option<DetachedPermit>),
        asked: &Asked,
        now: Instant,
    ) -> Self {
        entry.member.enter(asked.tokens());
        let name = &entry.member.endpoint.name;
        let place = asked.race.as_ref().map(|race| race.enter(name, now));
        Self {
            load: Some(Load {
                member: entry.member.clone(),
                permit,
                ticket,
            }),
            tier: entry.tier,
            asked: asked.clone(),
            place,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.load().member.endpoint
    }

    fn shared(&self) -> &Shared {
        &self.load().member.shared
    }

    /// Ends the attempt.
    fn take(&mut self) -> Option<Load> {
        self.place = None;
        self.load.take()
    }

    fn load(&self) -> &Load {
        self.load.as_ref().expect("it is taken where this ends")
    }

    /// Settles the attempt by the head of its response. A success goes on to its body.
    pub(crate) fn respond<B>(&mut self, pool: &Pool, response: &Response<B>) -> Option<Load> {
        // Before anything is taken: a classifier that panics leaves a cancelled attempt.
        let verdict = verdict_of(&*self.shared().rules.classifier, Ok(response));
        let mut load = self.take()?;
        if !verdict.is_success() {
            self.fail(pool, load, verdict, Some(response.status()));
            return None;
        }
        let now = Instant::now();
        self.note(&load, verdict, Some(response.status()), now);
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
            // The endpoint says itself that the next request will be refused.
            if let Some(wait) = limit.pause(None).filter(|wait| !wait.is_zero()) {
                let wait = member.cooldown.spent(load.ticket, wait, now);
                load.tell_of_cooldown(Class::Success, wait);
            }
        }
        if let Some(permit) = &mut load.permit {
            permit.head(&load.member.breaker, verdict);
        }
        load.member.shared.turned(now);
        Some(load)
    }

    /// Settles the attempt by the error of the client.
    pub(crate) fn error(&mut self, pool: &Pool, error: &BoxError) {
        let verdict = self.shared().rules.classifier.classify(Err(&**error));
        if let Some(load) = self.take() {
            self.fail(pool, load, verdict, None);
        }
    }

    /// Gives back what was reserved, for a request that is not sent. That is no attempt.
    pub(crate) fn give_back(mut self) {
        if let Some(load) = self.take() {
            load.member.cooldown.unsent(load.ticket);
        }
    }

    /// The same for a request that will not be sent at all.
    pub(crate) fn withdraw(self) {
        if let Some(trail) = &self.asked.trail {
            trail.set_next(Next::Never);
        }
        self.give_back();
    }

    fn fail(&self, pool: &Pool, mut load: Load, verdict: Verdict, status: Option<StatusCode>) {
        let now = Instant::now();
        self.note(&load, verdict, status, now);
        let member = &*load.member;
        member.traffic.used(member.shared.since_start(now));
        let wait = member.refused(load.ticket, verdict, status, now);
        load.settle(verdict, wait);
        if let Some(trail) = &self.asked.trail {
            trail.set_next(load.member.shared.next(&pool.members(), &self.asked, now));
        }
    }

    /// Whether it was dropped since another attempt was faster, and not by its caller.
    fn has_lost(&self) -> bool {
        self.asked.race.as_ref().is_some_and(Race::is_decided)
    }

    fn note(&self, load: &Load, verdict: Verdict, status: Option<StatusCode>, now: Instant) {
        if let Some(trail) = &self.asked.trail {
            let mut attempt = Attempt::until(load.ticket.sent(), now, verdict);
            attempt.endpoint = Some(load.member.endpoint.name.clone());
            attempt.tier = self.tier;
            attempt.status = status;
            attempt.hedge = self.asked.is_hedge();
            trail.note(attempt);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(mut load) = self.take() else {
            return;
        };
        load.member.cooldown.cancelled(load.ticket);
        let now = Instant::now();
        let waited = load.ticket.age(now);
        let abandoned = load.member.shared.rules.abandoned_after;
        let class = match abandoned {
            Some(after) if waited > after && !self.has_lost() => Class::Timeout,
            _ => Class::Cancelled,
        };
        let verdict = Verdict::new(class);
        self.note(&load, verdict, None, now);
        if let Some(permit) = load.permit.take() {
            permit.record(&load.member.breaker, verdict);
        }
    }
}

// ===== impl Load =====

impl Load {
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
    fn on_end(mut self, end: End) {
        // The permit keeps the verdict of the head, which stands unless the body breaks.
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

        assert!(Admitted::try_new(entry, &Asked::default(), now).is_none());
        assert!(member.cooldown.would_admit(now));
        assert_eq!(member.traffic.in_flight(), 0);
    }
}
