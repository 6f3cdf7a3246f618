//! How a request finds its endpoint.

use std::task::{Context, Poll};

use http::Request;
use steadfast_core::{BoxError, Class, EndpointName, Event, Exhausted, Verdict};
use tokio::time::Instant;
use tower_service::Service;

use crate::asked::Asked;
use crate::choose::Found;
use crate::dispatch::Dispatch;
use crate::exhausted::WhenExhausted;
use crate::pool::Shared;
use crate::queue::Key;
use crate::services::Services;
use crate::waiting::{View, Waiting};
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
        dispatch: &mut Dispatch,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S, BoxError>> {
        let Self { request, waiting } = self;
        let Dispatch { asked, reserved } = &mut *dispatch;
        let asked = &*asked;
        let now = Instant::now();
        let request = request.as_ref().expect("polled after completion");
        let reachable = services.reachable();
        let (pool, members) = (&services.pool, &*reachable.members);
        let shared = &pool.shared;
        let told = shared.queue.told();
        let mut allowed = asked.allowed();
        let mut own = None;
        // Those that were busy are asked along with the others, and may have become free.
        let (mut waited, mut skip) = (Vec::new(), Vec::new());
        if let Some(waiting) = waiting {
            allowed.hurries = waiting.hurries;
            own = waiting.key();
            waited = std::mem::take(&mut waiting.busy);
            allowed.lost.clone_from(&waiting.lost);
        }
        let own = own.unwrap_or_else(|| Key::behind(allowed.since(now)));
        let claims = shared.queue.claims(own, members.everybody(), now);
        let found = loop {
            let (ask, not) = ((&allowed, asked), (&*skip, &claims));
            let found = shared.choose(members, ask, request.extensions(), not, now);
            let (at, last_resort) = match found {
                Found::Endpoint(at) => (at, false),
                _ if shared.rules.when_exhausted == WhenExhausted::LeastBad
                    && !asked.is_hedge() =>
                {
                    match shared.least_bad(members, &allowed, &skip, now) {
                        Some(at) => (at, true),
                        None => break found,
                    }
                }
                _ => break found,
            };
            let entry = &members.active()[at];
            let id = entry.member.id;
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
                reserved.try_admit_as_last_resort(entry, asked, now)
            } else {
                reserved.try_admit(entry, asked, now)
            };
            match ready {
                Ok(()) if admitted && members.version < pool.version() => {
                    // It may be one that is out of service by now.
                    reserved.give_back();
                    drop(reachable);
                    return self.poll(services, dispatch, cx);
                }
                Ok(()) if admitted => {
                    tell_of_failover(shared, asked, &entry.member.endpoint.name, now);
                    return Poll::Ready(Ok(service));
                }
                Ok(()) => {}
                Err(error) => {
                    let error = error.into();
                    if admitted {
                        reserved.error(asked, pool, &error);
                    }
                    let waiting = waiting.get_or_insert_default();
                    waiting.error = Some(error);
                    waiting.lost.push(id);
                    allowed.lost.push(id);
                }
            }
            skip.push(id);
        };
        if asked.is_hedge() {
            let error = waiting.as_mut().and_then(|waiting| waiting.error.take());
            return Poll::Ready(Err(error.unwrap_or_else(|| no_other(asked))));
        }
        let view = View {
            pool,
            shared,
            members,
            asked,
            allowed: &allowed,
            told,
            now,
        };
        let waiting = waiting.get_or_insert_default();
        waiting.poll(view, found, &skip, cx).map(Err)
    }
}

/// Ends a further attempt which no other endpoint can take at once. Nobody sees the error, as the
/// first attempt goes on.
fn no_other(asked: &Asked) -> BoxError {
    let verdict = Verdict::new(Class::Overloaded).neutral();
    let trail = asked.trail.clone().unwrap_or_default();
    Exhausted::new(trail, verdict, None).into()
}

fn tell_of_hedge(shared: &Shared, group: &AttemptGroup, to: &EndpointName, now: Instant) {
    if let Some(from) = group.endpoints().into_iter().find(|from| from != to) {
        shared.rules.observers.emit(&Event::Hedge {
            from,
            to: to.clone(),
            after: group.age(now),
        });
    }
}

fn tell_of_failover(shared: &Shared, asked: &Asked, to: &EndpointName, now: Instant) {
    if let Some(group) = asked.group.as_ref().filter(|group| group.is_hedge()) {
        return tell_of_hedge(shared, group, to, now);
    }
    // Most requests are at their first attempt, and the trail is not locked for that.
    let tried = asked.trail.as_ref().filter(|trail| !trail.is_empty());
    let Some(last) = tried.and_then(|trail| trail.last()) else {
        return;
    };
    if let Some(from) = last.endpoint.filter(|from| from != to) {
        let ended = last.started + last.elapsed;
        shared.rules.observers.emit(&Event::Failover {
            from,
            to: to.clone(),
            class: last.verdict.class(),
            after: now.saturating_duration_since(ended),
        });
    }
}
