//! How a request finds its endpoint.

use std::task::{Context, Poll};

use http::Request;
use steadfast_core::{BoxError, Class, EndpointName, Event, Exhausted, Verdict};
use tokio::time::Instant;
use tower_service::Service;

use crate::admit::queue::Key;
use crate::admit::wait::{Step, View, Waiting};
use crate::exhausted::WhenExhausted;
use crate::pool::context::PoolContext;
use crate::pool::services::Services;
use crate::select::eligibility::Eligibility;
use crate::select::request_context::RequestContext;
use crate::select::selector::{Exclusions, Selection};
use crate::service::in_flight::InFlight;
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
        let mut eligibility = context.eligibility(shared, snapshot);
        let mut own = None;
        // Busy services are asked along with the others, and may have become ready.
        let (mut waited, mut skip) = (Vec::new(), Vec::new());
        if let Some(waiting) = waiting {
            eligibility.hurries = waiting.hurries;
            own = waiting.key();
            waited = std::mem::take(&mut waiting.busy);
            eligibility.lost.clone_from(&waiting.lost);
        }
        let own = own.unwrap_or_else(|| Key::behind(eligibility.since(now)));
        let claims = (shared.signals.queue).claims(own, snapshot.everybody(), now);
        let selection = loop {
            let (skipped, claims) = (&*skip, &claims);
            let exclusions = Exclusions {
                skip: skipped,
                claims,
            };
            let selection = shared.choose(&eligibility, request.extensions(), exclusions, now);
            let (at, last_resort) = match selection {
                Selection::Endpoint(at) => (at, false),
                // No endpoint can take it: the least bad one may have to.
                _ => match least_bad(shared, context, &eligibility, &skip, now) {
                    Some(at) => (at, true),
                    None => break selection,
                },
            };
            let entry = &snapshot.active()[at];
            let id = entry.state.id;
            let mut service = match waited.iter().position(|(known, _)| *known == id) {
                Some(known) => waited.swap_remove(known).1,
                None => reachable.service(at).clone(),
            };
            // Its service is busy: the next endpoint is asked, and the service wakes the request.
            let Poll::Ready(ready) = service.poll_ready(cx) else {
                let waiting = waiting.get_or_insert_default();
                waiting.busy.push((id, service));
                skip.push(id);
                continue;
            };
            // Another request may have taken the last slot.
            let admitted = if last_resort {
                reserved.try_admit_as_last_resort(entry, context, now)
            } else {
                reserved.try_admit(entry, context, now)
            };
            match ready {
                // The endpoint may have been removed meanwhile.
                Ok(()) if admitted && snapshot.version < pool.version() => {
                    reserved.give_back();
                    return Step::Again;
                }
                Ok(()) if admitted => {
                    emit_failover(shared, context, &entry.state.config.name, now);
                    return Step::Done(Ok(service));
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
                    eligibility.lost.push(id);
                }
            }
            skip.push(id);
        };
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
