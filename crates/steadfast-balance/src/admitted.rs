//! An attempt that an endpoint has admitted: what it reserved, and how it is settled.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use http::{Response, StatusCode};
use steadfast_breaker::Permit;
use steadfast_core::{
    Attempt, BoxError, Class, End, Event, Next, OnEnd, RateLimit, Verdict, verdict_of,
};
use tokio::time::Instant;

use crate::cooldown::Ticket;
use crate::endpoint::Endpoint;
use crate::member::Member;
use crate::pool::{Asked, Pool};

/// An attempt before the head of its response. Dropping it, as a caller who leaves does, gives
/// back what it reserved and notes that it was cancelled.
pub(crate) struct Admitted {
    load: Option<Load>,
    ticket: Ticket,
    started: Instant,
    asked: Asked,
}

/// A place among the requests in flight, with the breaker's permit. It goes with the response
/// to the end of its body.
pub struct Load {
    pool: Arc<Pool>,
    index: usize,
    permit: Option<Permit>,
    ticket: Ticket,
}

// ===== impl Admitted =====

impl Admitted {
    /// Reserves a place at an endpoint, or returns `None` if somebody else took the last one.
    pub(crate) fn try_new(
        pool: &Arc<Pool>,
        index: usize,
        asked: Asked,
        now: Instant,
    ) -> Option<Self> {
        let member = &pool.members[index];
        let ticket = member.cooldown.try_admit(now)?;
        let Ok(permit) = member.breaker.try_acquire() else {
            member.cooldown.unsent(ticket);
            return None;
        };
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        let load = Load {
            pool: pool.clone(),
            index,
            permit: Some(permit),
            ticket,
        };
        Some(Self {
            load: Some(load),
            ticket,
            started: now,
            asked,
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.load().member().endpoint
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.load().pool
    }

    fn load(&self) -> &Load {
        self.load.as_ref().expect("it is taken where this ends")
    }

    /// Settles the attempt by the head of its response. A success goes on to its body.
    pub(crate) fn respond<B>(mut self, response: &Response<B>) -> Option<Load> {
        // Before anything is taken: a classifier that panics leaves a cancelled attempt.
        let verdict = verdict_of(&*self.pool().classifier, Ok(response));
        let mut load = self.load.take()?;
        if !verdict.is_success() {
            self.fail(load, verdict, Some(response.status()));
            return None;
        }
        let now = Instant::now();
        self.note(&load, verdict, Some(response.status()));
        let member = load.member();
        member.used(load.pool.since_start(now));
        let latency = now.saturating_duration_since(self.started);
        let over = member.succeeded(self.ticket, latency, now);
        if over {
            let endpoint = member.endpoint.name.clone();
            load.pool.observers.emit(&Event::CooldownEnded { endpoint });
        }
        // The endpoint says itself that the next request will be refused.
        let limit = RateLimit::from_headers(response.headers(), SystemTime::now());
        if let Some(wait) = limit.pause(None).filter(|wait| !wait.is_zero()) {
            let wait = member.cooldown.spent(self.ticket, wait, now);
            load.tell_of_cooldown(Class::Success, wait);
        }
        if let Some(permit) = &mut load.permit {
            permit.head(verdict);
        }
        Some(load)
    }

    /// Settles the attempt by the error of the client.
    pub(crate) fn error(mut self, error: &BoxError) {
        let verdict = self.pool().classifier.classify(Err(&**error));
        if let Some(load) = self.load.take() {
            self.fail(load, verdict, None);
        }
    }

    /// Gives back what was reserved, for a request that was not sent. That is no attempt.
    pub(crate) fn withdraw(mut self) {
        if let Some(load) = self.load.take() {
            load.member().cooldown.unsent(self.ticket);
        }
        if let Some(trail) = &self.asked.trail {
            trail.set_next(Next::Never);
        }
    }

    fn fail(&self, mut load: Load, verdict: Verdict, status: Option<StatusCode>) {
        let now = Instant::now();
        self.note(&load, verdict, status);
        let member = load.member();
        member.used(load.pool.since_start(now));
        let wait = member.refused(self.ticket, verdict, status, now);
        load.settle(verdict, wait);
        if let Some(trail) = &self.asked.trail {
            trail.set_next(load.pool.next(&self.asked, now));
        }
    }

    fn note(&self, load: &Load, verdict: Verdict, status: Option<StatusCode>) {
        if let Some(trail) = &self.asked.trail {
            let endpoint = &load.member().endpoint;
            let mut attempt = Attempt::new(self.started, verdict);
            attempt.endpoint = Some(endpoint.name.clone());
            attempt.tier = endpoint.tier;
            attempt.status = status;
            trail.note(attempt);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(mut load) = self.load.take() else {
            return;
        };
        load.member().cooldown.released(self.ticket);
        let waited = Instant::now().saturating_duration_since(self.started);
        let abandoned = load
            .pool
            .abandoned_after
            .is_some_and(|after| waited > after);
        let class = if abandoned {
            Class::Timeout
        } else {
            Class::Cancelled
        };
        let verdict = Verdict::new(class);
        self.note(&load, verdict, None);
        if let Some(permit) = load.permit.take() {
            permit.record(verdict);
        }
    }
}

// ===== impl Load =====

impl Load {
    fn member(&self) -> &Member {
        &self.pool.members[self.index]
    }

    /// Records a verdict that is no success, after which the endpoint is left alone for `wait`.
    fn settle(&mut self, verdict: Verdict, wait: Option<Duration>) {
        self.tell_of_cooldown(verdict.class(), wait);
        // All that an overloaded endpoint answers before its hint has passed is one failure.
        let repeated =
            verdict.class() == Class::Overloaded && verdict.hint().is_some() && wait.is_none();
        if let Some(permit) = self.permit.take() {
            permit.record(if repeated { verdict.neutral() } else { verdict });
        }
    }

    fn tell_of_cooldown(&self, class: Class, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.pool.observers.emit(&Event::Cooldown {
                endpoint: self.member().endpoint.name.clone(),
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
            let wait = self.member().broke(self.ticket, verdict, Instant::now());
            self.settle(verdict, wait);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.member().in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("endpoint", &self.member().endpoint.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pool;
    use http::Extensions;

    /// Between the look at an endpoint and its reservation the breaker may have opened. The place
    /// after the cooldown was taken by then.
    #[tokio::test(start_paused = true)]
    async fn a_breaker_that_refuses_leaves_the_cooldown_as_it_was() {
        let pool = Arc::new(pool(&[0]));
        let now = Instant::now();
        let admit = || Admitted::try_new(&pool, 0, Asked::of(&Extensions::new()), now);
        let member = &pool.members[0];
        let ticket = member.cooldown.try_admit(now).expect("clear");
        member
            .cooldown
            .refused(ticket, Some(Duration::ZERO), None, now);
        while let Ok(permit) = member.breaker.try_acquire() {
            permit.record(Verdict::new(Class::Timeout));
        }

        assert!(admit().is_none());
        assert!(member.cooldown.would_admit(now));
        assert_eq!(member.in_flight.load(Ordering::Relaxed), 0);
    }
}
