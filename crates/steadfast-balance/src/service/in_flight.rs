//! A request and its reservation at an endpoint, until the attempt is settled.

use std::sync::Arc;

use http::{Extensions, Request, Response, Uri};
use steadfast_breaker::{Detached, Permit};
use steadfast_core::layer::{AttemptGroup, AttemptSlot, Next, RecordAttempts, verdict_of};
use steadfast_core::{BoxError, Class, Verdict};
use tokio::time::Instant;

use crate::admit::departure::Departure;
use crate::endpoint::Endpoint;
use crate::endpoint::caller::credential_hash;
use crate::pool::Pool;
use crate::pool::snapshot::ActiveEndpoint;
use crate::select::doubt::SHORTEST_SILENCE;
use crate::select::request_context::RequestContext;
use crate::service::load_guard::LoadGuard;
use crate::state::EARLY_PROBES;
use crate::state::cooldown::recovery::Occasion;
use crate::state::limits::attempt::Pace;
use crate::state::limits::limit_state::LimitState;
use crate::state::limits::tickets::{Level, Tickets};
use crate::state::reason::Reason;

/// A request and its reservation at an endpoint.
///
/// If it is dropped before the attempt is settled, the attempt is cancelled: the reservation is
/// released and the trail records `Cancelled`.
pub(crate) struct InFlight {
    /// The trail, the deadline and the routing options of the request.
    pub(crate) context: RequestContext,
    /// The reservation at the endpoint that has admitted the request.
    pub(crate) reserved: Reservation,
}

/// The capacity that an attempt has reserved at an endpoint.
///
/// Empty before the admission and after the attempt is settled.
#[derive(Default)]
pub(crate) struct Reservation {
    /// The load of the attempt at its endpoint.
    load: Option<LoadGuard>,
    /// Keeps the other attempts of the request away from this endpoint.
    slot: Option<AttemptSlot>,
    /// The wait for a slot, if the request waited in the queue.
    pub(crate) waited: Option<Box<Departure>>,
    /// The tier of the endpoint. Apart from the load, which moves with the response.
    tier: u16,
}

/// The reason for an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The breaker admits the attempt.
    Regular,
    /// The send rate does not allow the attempt yet, and no other endpoint admits one.
    EarlyAttempt,
    /// All breakers are open, and a probe is due before the end of the open time.
    EarlyProbe,
    /// All breakers are open, and the configuration takes the least bad endpoint.
    LastResort,
    /// The endpoint cools, and a recovery probe or a test is due.
    Recovery(Occasion),
}

/// Whether an endpoint has admitted an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    Admitted,
    /// Another request was faster. The request can wait for the next slot.
    Taken,
    /// The breaker admits only a share of the attempts after an outage, and not this one.
    NotNow,
}

// ===== impl InFlight =====

impl InFlight {
    pub(crate) fn new(context: RequestContext) -> Self {
        Self {
            context,
            reserved: Reservation::default(),
        }
    }

    /// Returns the endpoint that has admitted the request.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.reserved.load().endpoint.state.config
    }

    /// Notes the caller of a request that is about to be sent, if its outcome tests a limit.
    #[inline]
    pub(crate) fn note_caller<B>(&mut self, request: &Request<B>) {
        let load = self.reserved.load();
        if load.endpoint.state.limits.is_watched(&load.tickets) {
            self.context.caller = credential_hash(request.headers(), request.uri());
        }
    }

    /// Settles the attempt with the head of its response. The guard of a success goes to the body.
    pub(crate) fn respond<B>(
        &mut self,
        pool: &Arc<Pool>,
        response: &Response<B>,
        target: &Uri,
    ) -> Option<LoadGuard> {
        let request = (&self.context, target);
        self.reserved.respond(request, pool, response)
    }

    /// Settles the attempt with an error of the client.
    pub(crate) fn error(&mut self, pool: &Arc<Pool>, error: &BoxError, target: &Uri) {
        let request = (&self.context, Some(target));
        self.reserved.error(request, pool, error);
    }

    /// Releases the reservation of a request that is not sent to any endpoint.
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
    /// Reserves capacity at an endpoint. Returns `false` if another request took the last slot.
    pub(crate) fn try_admit(
        &mut self,
        entry: &ActiveEndpoint,
        admission: Admission,
        (context, extensions): (&RequestContext, &Extensions),
        now: Instant,
    ) -> Reserved {
        let endpoint = &entry.state;
        let (limits, demand) = (&endpoint.limits, &context.demand);
        let tickets = match admission {
            Admission::Recovery(occasion) => {
                limits.try_recover(demand, extensions, (occasion, now))
            }
            Admission::EarlyAttempt => {
                let since = demand.hurries_since.unwrap_or(now);
                limits.try_admit(demand, extensions, (Pace::Early(since), now))
            }
            _ => limits.try_admit(demand, extensions, (Pace::Regular, now)),
        };
        let Some(tickets) = tickets else {
            return Reserved::Taken;
        };
        let breaker = endpoint.breaker.at(now);
        let permit = match admission {
            Admission::EarlyProbe => breaker.try_acquire_early(EARLY_PROBES).map(Some),
            Admission::LastResort => Ok(None),
            _ => breaker.try_acquire_detached().map(Some),
        };
        let Ok(permit) = permit else {
            endpoint.limits.unsent(&tickets);
            return match breaker.would_admit() {
                true => Reserved::NotNow,
                false => Reserved::Taken,
            };
        };
        self.admit(entry, (tickets, permit), context, now);
        Reserved::Admitted
    }

    /// Returns whether the attempt tests an endpoint with an open breaker.
    pub(crate) fn is_test(&self) -> bool {
        self.load.as_ref().is_some_and(LoadGuard::is_test)
    }

    /// Stores the reservation of an admitted attempt, and counts its load.
    #[inline]
    fn admit(
        &mut self,
        entry: &ActiveEndpoint,
        (mut tickets, permit): (Tickets, Option<Permit<Detached>>),
        context: &RequestContext,
        now: Instant,
    ) {
        entry.state.enter(&mut tickets, context.tokens());
        self.load = Some(LoadGuard::new(entry.pooled.clone(), permit, tickets));
        let name = &entry.state.config.name;
        self.tier = context.position_of(name, entry.tier);
        self.slot = context.group.as_ref().map(|group| group.enter(name, now));
    }

    /// Returns the load of an admitted attempt.
    fn load(&self) -> &LoadGuard {
        self.load.as_ref().expect("an endpoint has admitted it")
    }

    /// Removes the reservation.
    fn take(&mut self) -> Option<LoadGuard> {
        self.slot = None;
        self.load.take()
    }

    /// Settles the attempt with the head of its response. Returns the guard of a success.
    fn respond<B>(
        &mut self,
        (context, target): (&RequestContext, &Uri),
        pool: &Arc<Pool>,
        response: &Response<B>,
    ) -> Option<LoadGuard> {
        let verdict = verdict_of(Ok(response));
        let outcome = (verdict, Some(response.status()));
        if !verdict.is_success() {
            let load = self.take()?;
            load.learn_quota_of_failure(verdict.class(), response.headers());
            load.fail((context, self.tier), (pool, Some(target)), outcome, None);
            return None;
        }
        // The guard stays in place, because it is large. It moves once, into the response.
        let load = self.load.as_mut()?;
        let now = Instant::now();
        let since_start = load.endpoint.state.since_start(now);
        // Once, because a difference of instants costs 56 instructions.
        let latency = since_start.saturating_sub(load.tickets.pool_age());
        load.record((context, self.tier), outcome, None, latency);
        load.answered();
        let endpoint = &*load.endpoint.state;
        endpoint.load.has_served(since_start);
        let tickets = &load.tickets;
        endpoint.succeeded(
            (tickets, latency, context.sender()),
            target,
            (now, since_start),
            |concerned| {
                let ended = concerned.ended(endpoint.config.name.clone());
                load.endpoint.signals.observers.emit(&ended);
            },
        );
        if let Some(limit) = load.learn_quota(response.headers(), now) {
            // `remaining: 0`: the next request of this size would be refused.
            let pause = limit.pause(context.tokens());
            if let Some(wait) = pause.filter(|wait| !wait.is_zero()) {
                let begin = |own: &LimitState, ticket| own.cooldown.spent(ticket, wait, now);
                let cooled = endpoint.limits.refused(&load.tickets, Level::Key, begin);
                load.emit_cooldown(Class::Success, cooled);
            }
        }
        if let Some(permit) = &mut load.permit {
            permit.head(&load.endpoint.state.breaker, verdict);
        }
        load.continue_slow_start(latency, now);
        self.take()
    }

    /// Settles the attempt with an error of the client.
    pub(crate) fn error(
        &mut self,
        (context, target): (&RequestContext, Option<&Uri>),
        pool: &Arc<Pool>,
        error: &BoxError,
    ) {
        let verdict = verdict_of::<()>(Err(&**error));
        if let Some(load) = self.take() {
            let outcome = (verdict, None);
            load.fail((context, self.tier), (pool, target), outcome, Some(error));
        }
    }

    /// Releases the reservation of a request that is not sent to this endpoint.
    pub(crate) fn give_back(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.unsent();
        }
        if let Some(load) = self.take() {
            load.endpoint.state.limits.unsent(&load.tickets);
        }
    }

    /// Settles an attempt that is dropped before its head.
    fn cancel(&mut self, context: &RequestContext) {
        let Some(mut load) = self.take() else {
            return;
        };
        load.endpoint.state.limits.cancelled(&load.tickets);
        let now = Instant::now();
        let verdict = Verdict::new(class_of_dropped(&load, context, now));
        // An attempt that loses was only later than another one. A caller that leaves at once does
        // not make an endpoint silent.
        let stats = &load.endpoint.state.load;
        if let (Some(wait), false) = (self.waited.take(), has_lost(context)) {
            let queue = &load.endpoint.signals.queue;
            queue.abandoned(&context.demand, *wait, now);
        }
        let age = load.age(now);
        if verdict.class() == Class::Timeout {
            stats.has_failed(load.endpoint.state.since_start(now));
        }
        if has_lost(context) || age < SHORTEST_SILENCE {
            stats.was_in_vain();
        } else {
            stats.was_silent(age, false);
        }
        load.record((context, self.tier), (verdict, None), None, age);
        load.remember(verdict, || {
            let text = match is_overtaken_in_silence(context) {
                true => "no answer until another endpoint had answered",
                false => "abandoned by its caller",
            };
            Reason::with_text(verdict.class(), text)
        });
        if let Some(permit) = load.permit.take() {
            permit.record(&load.endpoint.state.breaker, verdict);
        }
    }
}

/// Returns the class of an attempt that is dropped before its head.
fn class_of_dropped(load: &LoadGuard, context: &RequestContext, now: Instant) -> Class {
    if is_overtaken_in_silence(context) {
        return Class::Timeout;
    }
    match load.endpoint.signals.abandoned_after {
        Some(after) if load.age(now) > after && !has_lost(context) => Class::Timeout,
        _ => Class::Cancelled,
    }
}

/// Returns whether another attempt has answered the request: the caller did not drop this one.
fn has_lost(context: &RequestContext) -> bool {
    let overtaken = context.trail.as_ref().and_then(RecordAttempts::overtaken);
    let is_decided = context.group.as_ref().is_some_and(AttemptGroup::is_decided);
    is_decided || overtaken == Some(false)
}

/// Returns whether a rescue has answered the request, and the endpoint of this attempt nothing
/// since the attempt began.
fn is_overtaken_in_silence(context: &RequestContext) -> bool {
    // The rescue itself has a group.
    let overtaken = context.trail.as_ref().and_then(RecordAttempts::overtaken);
    context.group.is_none() && overtaken == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pool;
    use crate::state::cooldown::Refusal;
    use std::time::Duration;

    /// The breaker may open between the check of an endpoint and its reservation. The cooldown has
    /// admitted the request by then.
    #[tokio::test(start_paused = true)]
    async fn breaker_refusal_leaves_cooldown_unchanged() {
        let pool = pool(&[0]);
        let now = Instant::now();
        let snapshot = pool.snapshot();
        let entry = &snapshot.active()[0];
        let endpoint = &entry.state;
        let cooldown = &endpoint.limits.wide.cooldown;
        let ticket = cooldown.try_admit(now).expect("clear");
        let refusal = Refusal {
            hint: Some(Duration::ZERO),
            ..Refusal::default()
        };
        cooldown.refused(ticket, refusal, now);
        while let Ok(permit) = endpoint.breaker.try_acquire() {
            permit.record(Verdict::new(Class::Timeout));
        }

        let mut in_flight = InFlight::new(RequestContext::default());
        let InFlight { context, reserved } = &mut in_flight;
        let request = (&*context, &Extensions::new());
        let reservation = reserved.try_admit(entry, Admission::Regular, request, now);
        assert_eq!(reservation, Reserved::Taken);
        assert!(cooldown.would_admit(now));
        assert_eq!(endpoint.load.in_flight(), 0);
    }
}
