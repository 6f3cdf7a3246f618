//! How a request finds its endpoint.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use steadfast_core::{BoxError, Event, saturating_add};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use crate::admitted::Admitted;
use crate::asked::{Allowed, Asked};
use crate::exhausted::WhenExhausted;
use crate::member::{Member, Turn};
use crate::members::{Entry, Members};
use crate::pool::{Found, Pool};
use crate::queue::Place;
use crate::services::Services;

/// How soon a request that waits for a busy endpoint looks again at one that could be asked now:
/// another request was faster.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// More comes for good than can be served if the queue has been too long for some for so many times
/// the time that they could wait.
const OVERLOADED: u32 = 8;
/// What part of its time a request waits at most then. A longer queue would serve nobody more, and
/// everybody later.
const STANDING: u32 = 4;

/// How long a request waits for its turn.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    /// How long it could wait if there were a use for that.
    longest: Duration,
}

/// A request that has no endpoint yet.
pub(crate) struct Selecting<S, B> {
    pub(crate) services: Arc<Services<S>>,
    pub(crate) request: Request<B>,
    asked: Asked,
    /// When it came to the balancer.
    came: Option<Instant>,
    /// Services of endpoints that are busy, kept so that they can wake this request.
    busy: Vec<(u64, S)>,
    /// Endpoints whose services broke, not to be asked again, and the last of their errors.
    lost: Vec<u64>,
    error: Option<BoxError>,
    /// Its place among those who wait for their turn, and when it gives up.
    place: Option<(Place, Patience)>,
    /// Wakes this request for what no busy service knows of.
    timer: Option<Pin<Box<Sleep>>>,
    /// Wakes this request if it waits for a busy service and there are other endpoints.
    changed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl<S, B> Selecting<S, B> {
    pub(crate) fn new(services: Arc<Services<S>>, request: Request<B>) -> Self {
        Self {
            asked: Asked::of(request.extensions()),
            services,
            request,
            came: None,
            busy: Vec::new(),
            lost: Vec::new(),
            error: None,
            place: None,
            timer: None,
            changed: None,
        }
    }
}

impl<S, B> Selecting<S, B>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Finds an endpoint that can take the request, and a service of it that is ready.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(S, Admitted), BoxError>> {
        let now = Instant::now();
        let came = *self.came.get_or_insert(now);
        let services = self.services.clone();
        let reachable = services.reachable();
        let (pool, members) = (&services.pool, &*reachable.members);
        let shared = &pool.shared;
        let asked = self.asked.clone();
        let allowed = asked.allowed();
        let claims = shared.queue.claims(
            self.place.as_ref().map(|(place, _)| place),
            members.active().len(),
            now,
        );
        // Those that were busy are asked along with the others, and may have become free.
        let mut waited = std::mem::take(&mut self.busy);
        let mut skip = self.lost.clone();
        let found = loop {
            let (extensions, ask) = (self.request.extensions(), (&allowed, &asked));
            let found = shared.choose(members, ask, extensions, (&skip, &claims), now);
            let (at, last_resort) = match found {
                Found::Endpoint(at) => (at, false),
                _ if shared.when_exhausted == WhenExhausted::LeastBad => {
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
            skip.push(id);
            let Poll::Ready(ready) = service.poll_ready(cx) else {
                self.busy.push((id, service));
                continue;
            };
            // Whoever came first may have taken the last place.
            let admitted = if last_resort {
                Admitted::as_last_resort(entry, &asked, now)
            } else {
                Admitted::try_new(entry, &asked, now)
            };
            match (ready, admitted) {
                (Ok(()), Some(admitted)) => {
                    self.tell_of_failover(&admitted, pool, now);
                    // Only now, so that nobody takes its turn meanwhile.
                    self.place = None;
                    return Poll::Ready(Ok((service, admitted)));
                }
                (Ok(()), None) => {}
                (Err(error), admitted) => {
                    let error = error.into();
                    if let Some(admitted) = admitted {
                        admitted.error(pool, &error);
                    }
                    self.error = Some(error);
                    self.lost.push(id);
                }
            }
        };
        self.wait(found, (pool, members), &allowed, &skip, (came, now), cx)
    }

    /// Waits for a turn or for a busy service, or gives up.
    fn wait<T>(
        &mut self,
        found: Found,
        (pool, members): (&Pool, &Members),
        allowed: &Allowed<'_>,
        skip: &[u64],
        (came, now): (Instant, Instant),
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, BoxError>> {
        let shared = &pool.shared;
        let tokens = self.asked.tokens();
        let patience = self.patience(found, (pool, members), allowed, skip, (came, now));
        let fits = patience.filter(|patience| {
            let wait = match self.place {
                Some(_) => Duration::ZERO,
                None => {
                    let ahead = shared.queue.len();
                    shared.wait_behind(members, (allowed, tokens), ahead, now)
                }
            };
            let fits = now < patience.until && saturating_add(now, wait) <= patience.until;
            if !fits {
                shared.queue.too_long(patience.longest, now);
            }
            fits
        });
        match fits {
            Some(patience) => {
                let wanted = wanted(members, allowed);
                let (place, _) = self.place.get_or_insert_with(|| {
                    let since = allowed.since(came);
                    let place = Place::join(shared, since, wanted.clone(), tokens, cx.waker());
                    (place, patience)
                });
                let next = place.wait(wanted, cx.waker(), members.active().len(), now);
                let wake_at = next.map_or(patience.until, |next| next.min(patience.until));
                // Nobody is asked twice in the same millisecond, which is what a timer counts.
                let wake_at = wake_at.max(now + Duration::from_millis(1));
                Self::poll_timer(&mut self.timer, Some(wake_at), cx);
                // A change before it joined did not wake it.
                if pool.version() != members.version {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            None if found == Found::WorthWaiting => {
                // It took too long, so another endpoint has to do.
                self.asked.hurries = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {}
        }
        let given_up = self.place.take().is_some();
        let time_is_over =
            (self.asked.deadline).is_some_and(|deadline| deadline.remaining(now).is_zero());
        if !self.busy.is_empty() && !time_is_over && !given_up {
            let recovery = shared.soonest(members, (allowed, tokens), skip, now);
            let recovery = recovery.map(|at| if at > now { at } else { now + LOOK_AGAIN });
            let deadline = self.asked.deadline.map(|deadline| deadline.instant());
            let wake_at = recovery.into_iter().chain(deadline).min();
            Self::poll_timer(&mut self.timer, wake_at, cx);
            self.poll_changes(pool, members, cx);
            return Poll::Pending;
        }
        // Who could not be served in time is not to come back for that.
        let in_time = patience.is_none();
        Poll::Ready(Err(match self.error.take() {
            Some(error) => error,
            None => shared.exhausted(members, &self.asked, in_time, now).into(),
        }))
    }

    /// Returns how long the request waits for its turn, if it does.
    fn patience(
        &self,
        found: Found,
        (pool, members): (&Pool, &Members),
        allowed: &Allowed<'_>,
        skip: &[u64],
        (came, now): (Instant, Instant),
    ) -> Option<Patience> {
        let shared = &pool.shared;
        if let Some((_, patience)) = self.place {
            // Those who wait go on, also if the endpoint has begun to cool meanwhile, but not if
            // there is none any more.
            let mut left = members.active().iter();
            left.find(|entry| allowed.allows(members, &entry.member))?;
            return Some(patience);
        }
        let tokens = self.asked.tokens();
        let mut others = candidates(members, allowed).filter(|member| !skip.contains(&member.id));
        let start_by = self.start_by(members, allowed, came);
        let until = match (found, shared.when_exhausted) {
            (Found::WorthWaiting, _) => {
                saturating_add(allowed.since(came), shared.prefer_wait_below)
            }
            _ if shared.max_wait.is_zero() => return None,
            (_, WhenExhausted::Wait) => {
                others.next()?;
                saturating_add(came, shared.max_wait)
            }
            _ => {
                let is_turn = |turn| matches!(turn, Turn::Now | Turn::Paced(_));
                others.find(|member| is_turn(member.turn(tokens, now)))?;
                start_by.unwrap_or_else(|| saturating_add(came, shared.max_wait))
            }
        };
        let until = start_by.map_or(until, |start_by| until.min(start_by));
        let longest = until.saturating_duration_since(came);
        let overloaded = shared.queue.overloaded(longest, now) > OVERLOADED * longest;
        let until = if overloaded {
            came + longest / STANDING
        } else {
            until
        };
        Some(Patience { until, longest })
    }

    /// Until when an attempt has to begin so that its answer probably comes before the deadline.
    fn start_by(&self, members: &Members, allowed: &Allowed<'_>, came: Instant) -> Option<Instant> {
        let deadline = self.asked.deadline?;
        let slowest = candidates(members, allowed)
            .filter_map(|member| member.latency.seldom_more())
            .max()
            .unwrap_or_default();
        // The rare slow answer is no reason not to wait at all.
        let at_most = deadline.remaining(came) / 2;
        deadline.instant().checked_sub(slowest.min(at_most))
    }

    /// Lets this request be woken, too, when the endpoints change.
    fn poll_changes(&mut self, pool: &Pool, members: &Members, cx: &mut Context<'_>) {
        let changed = self.changed.get_or_insert_with(|| {
            let shared = pool.shared.clone();
            Box::pin(async move { shared.queue.changed().await })
        });
        // They may have changed before it listened.
        if changed.as_mut().poll(cx).is_ready() || pool.version() != members.version {
            self.changed = None;
            cx.waker().wake_by_ref();
        }
    }

    fn poll_timer(timer: &mut Option<Pin<Box<Sleep>>>, at: Option<Instant>, cx: &mut Context<'_>) {
        let Some(at) = at else {
            *timer = None;
            return;
        };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn tell_of_failover(&self, admitted: &Admitted, pool: &Pool, now: Instant) {
        let Some(last) = self.asked.trail.as_ref().and_then(|trail| trail.last()) else {
            return;
        };
        let to = &admitted.endpoint().name;
        if let Some(from) = last.endpoint.filter(|from| from != to) {
            let ended = last.started + last.elapsed;
            pool.shared.observers.emit(&Event::Failover {
                from,
                to: to.clone(),
                class: last.verdict.class(),
                after: now.saturating_duration_since(ended),
            });
        }
    }
}

/// The endpoints that a request may go to, without a pause for what it has tried.
fn candidates<'a>(
    members: &'a Members,
    allowed: &'a Allowed<'_>,
) -> impl Iterator<Item = &'a Arc<Member>> + 'a {
    let all = members.active().iter().map(|entry: &Entry| &entry.member);
    all.filter(|member| allowed.allows_now(members, member))
}

fn wanted(members: &Members, allowed: &Allowed<'_>) -> Arc<[Arc<Member>]> {
    if allowed.is_anybody() {
        return members.everybody().clone();
    }
    candidates(members, allowed).cloned().collect()
}
