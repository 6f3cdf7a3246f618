//! The search for an endpoint that admits a request.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Request};
use steadfast_core::{BoxError, Class, Exhausted, Verdict};
use tokio::time::Instant;
use tower_service::Service;

use crate::admit::queue::Claims;
use crate::admit::shed::sheds;
use crate::admit::view::View;
use crate::admit::wait::{Step, Waiting};
use crate::admit::waiters::Key;
use crate::endpoint::caller::credential_hash;
use crate::exhausted::WhenExhausted;
use crate::pool::Pool;
use crate::pool::context::PoolContext;
use crate::pool::services::{Reachable, Services};
use crate::select::eligibility::Eligibility;
use crate::select::last_resort::earliest_probe;
use crate::select::recovery::{doubtful, has_accused};
use crate::select::request_context::RequestContext;
use crate::select::selector::{Exclusions, Selection};
use crate::service::announce::emit_failover;
use crate::service::in_flight::{Admission, InFlight, Reservation, Reserved};
use crate::state::cooldown::recovery::Occasion;

/// A request that has no endpoint yet.
pub(crate) struct Selecting<S, B> {
    /// Taken when an endpoint has admitted it.
    request: Option<Request<B>>,
    /// `None` until an endpoint is skipped. Most requests do not allocate it.
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
    /// Returns a ready service of an endpoint that admits the request. `in_flight` keeps the
    /// reservation at that endpoint.
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

    /// Searches the endpoints once, and waits if no endpoint admits the request.
    fn step(
        &mut self,
        services: &Services<S>,
        in_flight: &mut InFlight,
        cx: &mut Context<'_>,
    ) -> Step<Result<S, BoxError>> {
        let Self { request, waiting } = self;
        let InFlight { context, reserved } = &mut *in_flight;
        let request = request.as_ref().expect("polled after completion");
        let reachable = services.reachable();
        let (pool, snapshot) = (&services.pool, &*reachable.snapshot);
        if snapshot.passes_credentials {
            context
                .demand
                .set_credential(credential_hash(request.headers(), request.uri()));
        }
        let (context, now) = (&*context, Instant::now());
        let shared = &pool.shared;
        // Read before the search: a later change makes the search outdated.
        let epoch = shared.signals.queue.epoch();
        let mut eligibility = context.eligibility(shared, snapshot);
        let mut search = Search::new(&reachable, &mut eligibility, now);
        let own = search.resume(waiting.as_deref_mut());
        let claims =
            (shared.signals.queue).claims((own, &context.demand), snapshot.all_active(), now);
        let attempt = (context, &mut *reserved);
        let is_stale = (waiting.as_mut()).is_some_and(|waiting| {
            let queue = &shared.signals.queue;
            sheds(&shared.config, snapshot, search.eligibility)
                && waiting.expire(queue, search.eligibility, now)
        });
        let selection = if is_stale {
            Selection::NoneAdmissible
        } else {
            match search.select((pool, request), &claims, attempt, waiting, cx) {
                Ok(selection) => selection,
                Err(step) => {
                    if let (Step::Done(Ok(_)), Some(waiting)) = (&step, waiting) {
                        reserved.waited = waiting.serve(reserved.is_test()).map(Box::new);
                    }
                    return step;
                }
            }
        };
        // A hedge does not wait.
        if context.is_hedge() {
            let error = waiting.as_mut().and_then(|waiting| waiting.error.take());
            return Step::Done(Err(error.unwrap_or_else(|| no_other(context))));
        }
        if shared.leaves_in_vain(search.eligibility, context, now) {
            let error = waiting.as_mut().and_then(|waiting| waiting.error.take());
            let exhausted = || shared.exhausted(snapshot, context, None, now).into();
            return Step::Done(Err(error.unwrap_or_else(exhausted)));
        }
        let view = View {
            pool,
            shared,
            snapshot,
            context,
            eligibility: search.eligibility,
            epoch,
            now,
        };
        let waiting = waiting.get_or_insert_default();
        match waiting.step(view, selection, &search.skip, cx) {
            Step::Done(error) => Step::Done(Err(error)),
            Step::Again => Step::Again,
            Step::Wait => Step::Wait,
        }
    }
}

/// One search among the endpoints, at one instant.
struct Search<'a, S> {
    /// The endpoints and their services.
    reachable: &'a Reachable<S>,
    /// The permissions of the request.
    eligibility: &'a mut Eligibility<'a>,
    /// Services that were busy at the last search, by the id of their endpoint.
    waited: Vec<(u64, S)>,
    /// Ids of endpoints that cannot take the request.
    skip: Vec<u64>,
    /// The skipped endpoints with a slot that another request took first. The request waits for the
    /// next slot.
    taken: Vec<u64>,
    /// The instant of the search.
    now: Instant,
}

/// The answer of a selected endpoint.
enum Answer<S> {
    /// The endpoint has admitted the request, and its service is ready.
    Ready(S),
    /// The endpoints have changed, and this one may have been removed.
    Outdated,
    /// The endpoint does not admit the request.
    Other,
}

impl<'a, S> Search<'a, S> {
    #[inline]
    fn new(
        reachable: &'a Reachable<S>,
        eligibility: &'a mut Eligibility<'a>,
        now: Instant,
    ) -> Self {
        Self {
            reachable,
            eligibility,
            waited: Vec::new(),
            skip: Vec::new(),
            taken: Vec::new(),
            now,
        }
    }

    /// Continues the wait of an earlier search. Returns the position of the request in the queue.
    #[inline]
    fn resume(&mut self, waiting: Option<&mut Waiting<S>>) -> Key {
        let mut own = None;
        if let Some(waiting) = waiting {
            self.eligibility.hurries = waiting.hurries;
            own = waiting.key();
            // Busy services are polled again, and may have become ready.
            self.waited = std::mem::take(&mut waiting.busy);
            self.eligibility.lost.clone_from(&waiting.lost);
        }
        own.unwrap_or_else(|| Key::behind(self.eligibility.since(self.now)))
    }

    /// Tries the endpoints in the order of the strategy, until one admits the request.
    ///
    /// Returns the last selection if no endpoint does.
    #[inline]
    fn select<B>(
        &mut self,
        (pool, request): (&Arc<Pool>, &Request<B>),
        claims: &Claims,
        (context, reserved): (&RequestContext, &mut Reservation),
        waiting: &mut Option<Box<Waiting<S>>>,
        cx: &mut Context<'_>,
    ) -> Result<Selection, Step<Result<S, BoxError>>>
    where
        S: Service<Request<B>> + Clone,
        S::Error: Into<BoxError>,
    {
        let (shared, now) = (&pool.shared, self.now);
        let extensions = request.extensions();
        loop {
            let skip = &*self.skip;
            let exclusions = Exclusions { skip, claims };
            let selection = shared.choose(self.eligibility, extensions, exclusions, now);
            let probe = shared.recovery_probe(context, self.eligibility, (skip, selection), now);
            let chosen = match (probe, selection) {
                (Some(at), _) => (at, Admission::Recovery(Occasion::Probe)),
                (None, Selection::Endpoint(at)) => (at, Admission::Regular),
                (None, Selection::Early(at)) => (at, Admission::EarlyAttempt),
                _ => {
                    let eligibility = &mut *self.eligibility;
                    if eligibility.caller.is_none() && has_accused(eligibility) {
                        eligibility.caller = credential_hash(request.headers(), request.uri());
                    }
                    let Some(chosen) = broken(shared, context, eligibility, skip, now) else {
                        self.skip.retain(|id| !self.taken.contains(id));
                        return Ok(selection);
                    };
                    chosen
                }
            };
            match self.try_reserve(
                (pool, extensions),
                chosen,
                (context, &mut *reserved),
                waiting,
                cx,
            ) {
                Answer::Ready(service) => return Err(Step::Done(Ok(service))),
                Answer::Outdated => return Err(Step::Again),
                Answer::Other => {}
            }
        }
    }

    /// Tries to reserve capacity at one endpoint.
    fn try_reserve<B>(
        &mut self,
        (pool, extensions): (&Arc<Pool>, &Extensions),
        (at, admission): (usize, Admission),
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
        // A busy service wakes the request. The next endpoint is tried meanwhile.
        let Poll::Ready(ready) = service.poll_ready(cx) else {
            let waiting = waiting.get_or_insert_default();
            waiting.busy.push((id, service));
            self.skip.push(id);
            return Answer::Other;
        };
        // Another request may have taken the last slot.
        let reservation = reserved.try_admit(entry, admission, (context, extensions), now);
        let admitted = reservation == Reserved::Admitted;
        match ready {
            Ok(()) if admitted && snapshot.version < pool.version() => {
                reserved.give_back();
                return Answer::Outdated;
            }
            Ok(()) if admitted => {
                emit_failover(&pool.shared, context, &entry.state.config.name, now);
                return Answer::Ready(service);
            }
            Ok(()) if reservation == Reserved::Taken => self.taken.push(id),
            Ok(()) => {}
            // The service failed. The error is returned if no other endpoint serves.
            Err(error) => {
                let error = error.into();
                if admitted {
                    reserved.error((context, None), pool, &error);
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

/// Selects an endpoint although no endpoint is admissible: for the test of a doubtful
/// cooldown, for an early probe, or as the least bad one if the configuration allows it.
fn broken(
    shared: &PoolContext,
    context: &RequestContext,
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<(usize, Admission)> {
    let config = &shared.config;
    if context.is_hedge() {
        return None;
    }
    if let Some((at, occasion)) = doubtful(eligibility, skip, now) {
        return Some((at, Admission::Recovery(occasion)));
    }
    if !config.probe_wait.is_zero() {
        let probe = earliest_probe(eligibility, skip, now);
        if let Some((_, at)) = probe.filter(|(due, _)| *due <= now) {
            return Some((at, Admission::EarlyProbe));
        }
    }
    if config.when_exhausted != WhenExhausted::LeastBad {
        return None;
    }
    let at = shared.least_bad(eligibility, skip, now)?;
    Some((at, Admission::LastResort))
}

/// Ends a hedge that no endpoint admits at once. The caller does not see the error, because the
/// first attempt continues.
fn no_other(context: &RequestContext) -> BoxError {
    let verdict = Verdict::new(Class::Overloaded).neutral();
    let trail = context.trail.clone().unwrap_or_default();
    Exhausted::new(trail, verdict, None).into()
}
