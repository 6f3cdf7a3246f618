//! How a request finds its endpoint.

use std::task::{Context, Poll};

use http::Request;
use steadfast_core::{BoxError, Class, EndpointName, Event, Exhausted, Verdict};
use tokio::time::Instant;
use tower_service::Service;

use crate::admit::queue::Key;
use crate::admit::wait::{View, Waiting};
use crate::exhausted::WhenExhausted;
use crate::pool::context::PoolContext;
use crate::pool::services::Services;
use crate::select::request_context::RequestContext;
use crate::select::selector::Selection;
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
    /// Finds an endpoint that can take the request, and a service of it that is ready. What was
    /// reserved there is kept by `dispatch`.
    pub(crate) fn poll(
        &mut self,
        services: &Services<S>,
        in_flight: &mut InFlight,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S, BoxError>> {
        let Self { request, waiting } = self;
        let InFlight { context, reserved } = &mut *in_flight;
        let context = &*context;
        let now = Instant::now();
        let request = request.as_ref().expect("polled after completion");
        let reachable = services.reachable();
        let (pool, snapshot) = (&services.pool, &*reachable.snapshot);
        let shared = &pool.shared;
        let epoch = shared.signals.queue.epoch();
        let mut eligibility = context.eligibility();
        let mut own = None;
        // Those that were busy are asked along with the others, and may have become free.
        let (mut waited, mut skip) = (Vec::new(), Vec::new());
        if let Some(waiting) = waiting {
            eligibility.hurries = waiting.hurries;
            own = waiting.key();
            waited = std::mem::take(&mut waiting.busy);
            eligibility.lost.clone_from(&waiting.lost);
        }
        let own = own.unwrap_or_else(|| Key::behind(eligibility.since(now)));
        let claims = shared.signals.queue.claims(own, snapshot.everybody(), now);
        let found = loop {
            let (ask, not) = ((&eligibility, context), (&*skip, &claims));
            let found = shared.choose(snapshot, ask, request.extensions(), not, now);
            let (at, last_resort) = match found {
                Selection::Endpoint(at) => (at, false),
                _ if shared.config.when_exhausted == WhenExhausted::LeastBad
                    && !context.is_hedge() =>
                {
                    match shared.least_bad(snapshot, &eligibility, &skip, now) {
                        Some(at) => (at, true),
                        None => break found,
                    }
                }
                _ => break found,
            };
            let entry = &snapshot.active()[at];
            let id = entry.state.id;
            let mut service = match waited.iter().position(|(known, _)| *known == id) {
                Some(known) => waited.swap_remove(known).1,
                None => reachable.service(at).clone(),
            };
            let Poll::Ready(ready) = service.poll_ready(cx) else {
                let waiting = waiting.get_or_insert_default();
                waiting.busy.push((id, service));
                skip.push(id);
                continue;
            };
            // Whoever came first may have taken the last place.
            let admitted = if last_resort {
                reserved.try_admit_as_last_resort(entry, context, now)
            } else {
                reserved.try_admit(entry, context, now)
            };
            match ready {
                Ok(()) if admitted && snapshot.version < pool.version() => {
                    // It may be one that is out of service by now.
                    reserved.give_back();
                    drop(reachable);
                    return self.poll(services, in_flight, cx);
                }
                Ok(()) if admitted => {
                    tell_of_failover(shared, context, &entry.state.config.name, now);
                    return Poll::Ready(Ok(service));
                }
                Ok(()) => {}
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
        if context.is_hedge() {
            let error = waiting.as_mut().and_then(|waiting| waiting.error.take());
            return Poll::Ready(Err(error.unwrap_or_else(|| no_other(context))));
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
        waiting.poll(view, found, &skip, cx).map(Err)
    }
}

/// Ends a further attempt which no other endpoint can take at once. Nobody sees the error, as the
/// first attempt goes on.
fn no_other(context: &RequestContext) -> BoxError {
    let verdict = Verdict::new(Class::Overloaded).neutral();
    let trail = context.trail.clone().unwrap_or_default();
    Exhausted::new(trail, verdict, None).into()
}

fn tell_of_hedge(shared: &PoolContext, group: &AttemptGroup, to: &EndpointName, now: Instant) {
    if let Some(from) = group.endpoints().into_iter().find(|from| from != to) {
        shared.signals.observers.emit(&Event::Hedge {
            from,
            to: to.clone(),
            after: group.age(now),
        });
    }
}

fn tell_of_failover(
    shared: &PoolContext,
    context: &RequestContext,
    to: &EndpointName,
    now: Instant,
) {
    if let Some(group) = context.group.as_ref().filter(|group| group.is_hedge()) {
        return tell_of_hedge(shared, group, to, now);
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
