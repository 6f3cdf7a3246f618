//! How a request finds its endpoint.

use std::task::{Context, Poll};

use http::Request;
use steadfast_core::{BoxError, Class, EndpointName, Event, Exhausted, Verdict};
use tokio::time::Instant;
use tower_service::Service;

use crate::admit::queue::Key;
use crate::admit::wait::{Step, View, Waiting};
use crate::exhausted::WhenExhausted;
use crate::pool::Pool;
use crate::pool::context::PoolContext;
use crate::pool::services::{Reachable, Services};
use crate::select::eligibility::Eligibility;
use crate::select::request_context::RequestContext;
use crate::select::selector::{Exclusions, Selection};
use crate::service::in_flight::{InFlight, Reservation};
use steadfast_core::layer::AttemptGroup;

/// A request that has no endpoint yet.
pub(crate) struct Selecting<S, B> {
    /// Taken out when it has one.
    request: Option<Request<B>>,
    /// None as long as nobody had to be passed over: most requests are spared that.
    waiting: Option<Box<Waiting<S>>>,
}

impl<S, B> Selecting<S, B> {
    #[inline]
    pub(crate) fn new(request: Request<B>) -> Self {
        Self {
            request: Some(request),
            waiting: None,
        }
    }

    pub(crate) fn request(&mut self) -> &mut Request<B> {
        self.request.as_mut().expect("polled after completion")
    }

    pub(crate) fn take_request(&mut self) -> Request<B> {
        self.request.take().expect("polled after completion")
    }
}

impl<S, B> Selecting<S, B>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Finds an endpoint that can take the request, and a service of it that is ready. The
    /// reservation there is kept by `in_flight`.
    pub(crate) fn poll(
        &mut self,
        services: &Services<S>,
        in_flight: &mut InFlight,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S, BoxError>> {
        loop {
            match self.step(services, in_flight, cx) {
                Step::Done(result) => return Poll::Ready(result),
                Step::Wait => return Poll::Pending,
                Step::Again => {}
            }
        }
    }

    fn step(
        &mut self,
        services: &Services<S>,
        in_flight: &mut InFlight,
        cx: &mut Context<'_>,
    ) -> Step<Result<S, BoxError>> {
        let Self { request, waiting } = self;
        let InFlight { context, reserved } = &mut *in_flight;
        let context = &*context;
        let now = Instant::now();
        let request = request.as_ref().expect("polled after completion");
        let reachable = services.reachable();
        let (pool, snapshot) = (&services.pool, &*reachable.snapshot);
        let shared = &pool.shared;
        let epoch = shared.signals.queue.epoch();
        let mut look = Look {
            reachable: &reachable,
            eligibility: context.eligibility(shared, snapshot),
            waited: Vec::new(),
            skip: Vec::new(),
            now,
        };
        let mut own = None;
        // Busy services are asked along with the others, and may have become ready.
        if let Some(waiting) = waiting {
            look.eligibility.hurries = waiting.hurries;
            own = waiting.key();
            look.waited = std::mem::take(&mut waiting.busy);
            look.eligibility.lost.clone_from(&waiting.lost);
        }
        let own = own.unwrap_or_else(|| Key::behind(look.eligibility.since(now)));
        let claims = (shared.signals.queue).claims(own, snapshot.everybody(), now);
        let selection = loop {
            let (skip, claims) = (&*look.skip, &claims);
            let exclusions = Exclusions { skip, claims };
            let extensions = request.extensions();
            let selection = shared.choose(&look.eligibility, extensions, exclusions, now);
            let chosen = match selection {
                Selection::Endpoint(at) => (at, false),
                // No endpoint can take it: the least bad one may have to.
                _ => match least_bad(shared, context, &look.eligibility, skip, now) {
                    Some(at) => (at, true),
                    None => break selection,
                },
            };
            match look.ask(pool, chosen, (context, reserved), waiting, cx) {
                Answer::Ready(service) => return Step::Done(Ok(service)),
                Answer::Outdated => return Step::Again,
                Answer::Other => {}
            }
        };
        let Look {
            eligibility, skip, ..
        } = look;
        // A hedge does not wait.
        if context.is_hedge() {
            let error = waiting.as_mut().and_then(|waiting| waiting.error.take());
            return Step::Done(Err(error.unwrap_or_else(|| no_other(context))));
        }
        let view = View {
            pool,
            shared,
            snapshot,
            context,
            eligibility: &eligibility,
            epoch,
            now,
        };
        let waiting = waiting.get_or_insert_default();
        match waiting.step(view, selection, &skip, cx) {
            Step::Done(error) => Step::Done(Err(error)),
            Step::Again => Step::Again,
            Step::Wait => Step::Wait,
        }
    }
}

/// One look at the endpoints of a moment.
struct Look<'a, S> {
    reachable: &'a Reachable<S>,
    eligibility: Eligibility<'a>,
    /// Services that were busy at the last look.
    waited: Vec<(u64, S)>,
    /// Endpoints that cannot take the request.
    skip: Vec<u64>,
    now: Instant,
}

/// The answer of a chosen endpoint.
enum Answer<S> {
    /// It has admitted the request, and its service is ready.
    Ready(S),
    /// The endpoints have changed, and it may have been removed.
    Outdated,
    /// Another endpoint has to be asked.
    Other,
}

impl<S> Look<'_, S> {
    fn ask<B>(
        &mut self,
        pool: &Pool,
        (at, last_resort): (usize, bool),
        (context, reserved): (&RequestContext, &mut Reservation),
        waiting: &mut Option<Box<Waiting<S>>>,
        cx: &mut Context<'_>,
    ) -> Answer<S>
    where
        S: Service<Request<B>> + Clone,
        S::Error: Into<BoxError>,
    {
        let (snapshot, now) = (&self.reachable.snapshot, self.now);
        let entry = &snapshot.active()[at];
        let id = entry.state.id;
        let mut service = match self.waited.iter().position(|(known, _)| *known == id) {
            Some(known) => self.waited.swap_remove(known).1,
            None => self.reachable.service(at).clone(),
        };
        // Its service is busy: the next endpoint is asked, and the service wakes the request.
        let Poll::Ready(ready) = service.poll_ready(cx) else {
            let waiting = waiting.get_or_insert_default();
            waiting.busy.push((id, service));
            self.skip.push(id);
            return Answer::Other;
        };
        // Another request may have taken the last slot.
        let admitted = if last_resort {
            reserved.try_admit_as_last_resort(entry, context, now)
        } else {
            reserved.try_admit(entry, context, now)
        };
        match ready {
            Ok(()) if admitted && snapshot.version < pool.version() => {
                reserved.give_back();
                return Answer::Outdated;
            }
            Ok(()) if admitted => {
                emit_failover(&pool.shared, context, &entry.state.config.name, now);
                return Answer::Ready(service);
            }
            Ok(()) => {}
            // Its service broke: the error is kept for the case that there is no other.
            Err(error) => {
                let error = error.into();
                if admitted {
                    reserved.error(context, pool, &error);
                }
                let waiting = waiting.get_or_insert_default();
                waiting.error = Some(error);
                waiting.lost.push(id);
                self.eligibility.lost.push(id);
            }
        }
        self.skip.push(id);
        Answer::Other
    }
}

fn least_bad(
    shared: &PoolContext,
    context: &RequestContext,
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<usize> {
    let is_allowed = shared.config.when_exhausted == WhenExhausted::LeastBad && !context.is_hedge();
    is_allowed.then(|| shared.least_bad(eligibility, skip, now))?
}

/// Ends a further attempt which no other endpoint can take at once. Nobody sees the error, as the
/// first attempt goes on.
fn no_other(context: &RequestContext) -> BoxError {
    let verdict = Verdict::new(Class::Overloaded).neutral();
    let trail = context.trail.clone().unwrap_or_default();
    Exhausted::new(trail, verdict, None).into()
}

fn emit_hedge(shared: &PoolContext, group: &AttemptGroup, to: &EndpointName, now: Instant) {
    if let Some(from) = group.endpoints().into_iter().find(|from| from != to) {
        shared.signals.observers.emit(&Event::Hedge {
            from,
            to: to.clone(),
            after: group.age(now),
        });
    }
}

fn emit_failover(shared: &PoolContext, context: &RequestContext, to: &EndpointName, now: Instant) {
    if let Some(group) = context.group.as_ref().filter(|group| group.is_hedge()) {
        return emit_hedge(shared, group, to, now);
    }
    // Most requests are at their first attempt, and the trail is not locked for that.
    let tried = context.trail.as_ref().filter(|trail| !trail.is_empty());
    let Some(last) = tried.and_then(|trail| trail.last()) else {
        return;
    };
    if let Some(from) = last.endpoint.filter(|from| from != to) {
        let ended = last.started + last.elapsed;
        shared.signals.observers.emit(&Event::Failover {
            from,
            to: to.clone(),
            class: last.verdict.class(),
            after: now.saturating_duration_since(ended),
        });
    }
}
