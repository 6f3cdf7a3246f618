//! What a request does while no endpoint can take it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use steadfast_core::BoxError;
use steadfast_core::layer::saturating_add;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::admit::queue::{Key, TICK, Wanted};
use crate::admit::signals::QueuePosition;
use crate::exhausted::WhenExhausted;
use crate::pool::Pool;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::{ActiveEndpoint, PoolSnapshot};
use crate::select::forecast::wanted;
use crate::select::request_context::{Eligibility, RequestContext};
use crate::select::selector::Selection;
use crate::state::{Availability, EndpointState};

/// How soon a request that waits for a busy endpoint looks again at one that could be asked now:
/// another request was faster.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// More comes for good than can be served if the queue has been too long for some for so many times
/// the time that they could wait.
const OVERLOADED: u32 = 8;
/// What part of its time a request waits at most then. A longer queue would serve nobody more, and
/// everybody later.
const STANDING: u32 = 4;

/// What wakes a request that has no endpoint yet.
pub(crate) struct Waiting<S> {
    /// Services of endpoints that are busy, kept so that they can wake this request.
    pub(crate) busy: Vec<(u64, S)>,
    /// Endpoints whose services broke, not to be asked again, and the last of their errors.
    pub(crate) lost: Vec<u64>,
    pub(crate) error: Option<BoxError>,
    /// It does not wait for one endpoint while another one could take it.
    pub(crate) hurries: bool,
    /// When it came to the balancer.
    came: Option<Instant>,
    /// Its place among those who wait for their turn, and when it gives up.
    place: Option<(QueuePosition, Patience)>,
    /// Wakes this request for what no busy service knows of.
    timer: Option<Pin<Box<Sleep>>>,
    /// Wakes it if it waits for a busy service and there are other endpoints.
    changed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

/// How long a request waits for its turn.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    /// How long it could wait if there were a use for that.
    longest: Duration,
    /// It is for an endpoint that is better than others.
    prefers: bool,
}

/// What a request finds when it looks.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) shared: &'a Arc<PoolContext>,
    pub(crate) snapshot: &'a PoolSnapshot,
    pub(crate) context: &'a RequestContext,
    pub(crate) eligibility: &'a Eligibility<'a>,
    /// How often all were told to look again, before it looked.
    pub(crate) epoch: usize,
    pub(crate) now: Instant,
}

impl<S> Default for Waiting<S> {
    fn default() -> Self {
        Self {
            busy: Vec::new(),
            lost: Vec::new(),
            error: None,
            hurries: false,
            came: None,
            place: None,
            timer: None,
            changed: None,
        }
    }
}

impl<S> Waiting<S> {
    /// Its place among those who wait, if it has one.
    pub(crate) fn key(&self) -> Option<Key> {
        self.place.as_ref().map(|(place, _)| place.key())
    }

    /// Waits for a turn or for a busy service, or gives up. Those in `skip` cannot take it now.
    pub(crate) fn poll(
        &mut self,
        view: View<'_>,
        found: Selection,
        skip: &[u64],
        cx: &mut Context<'_>,
    ) -> Poll<BoxError> {
        let now = view.now;
        let came = *self.came.get_or_insert(now);
        let patience = self.patience(view, found, skip, came);
        if let Some(patience) = patience.filter(|patience| self.is_worth_it(view, found, *patience))
        {
            let wake_at = self.queue(view, patience, found, came, cx);
            self.poll_timer(Some(wake_at.max(now + TICK)), cx);
            // A change before it joined did not wake it.
            if view.is_old() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        if patience.is_some_and(|patience| patience.prefers) {
            // It took too long, so another endpoint has to do, or is waited for as ever.
            self.hurries = true;
            self.place = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let given_up = self.place.take().is_some();
        let deadline = view.context.deadline;
        let time_is_over = deadline.is_some_and(|deadline| deadline.remaining(now).is_zero());
        if !self.busy.is_empty() && !time_is_over && !given_up {
            let recovery = view.soonest(skip);
            let recovery = recovery.map(|at| if at > now { at } else { now + LOOK_AGAIN });
            let deadline = deadline.map(|deadline| deadline.instant());
            self.poll_timer(recovery.into_iter().chain(deadline).min(), cx);
            self.poll_changes(view, cx);
            return Poll::Pending;
        }
        // Who could not be served in time is not to come back for that.
        let in_time = patience.is_none();
        Poll::Ready(match self.error.take() {
            Some(error) => error,
            None => {
                let View {
                    snapshot, context, ..
                } = view;
                view.shared
                    .exhausted(snapshot, context, in_time, now)
                    .into()
            }
        })
    }

    /// Whether its turn comes before it would give up. Who waits already is not asked again.
    fn is_worth_it(&self, view: View<'_>, found: Selection, patience: Patience) -> bool {
        let wait = match self.place {
            Some(_) => Duration::ZERO,
            None => view.wait_for_turn(found, self.came.unwrap_or(view.now)),
        };
        let is_worth_it =
            view.now < patience.until && saturating_add(view.now, wait) <= patience.until;
        // Who goes elsewhere instead says nothing of the queue.
        if !is_worth_it && !patience.prefers {
            view.shared
                .signals
                .queue
                .too_long(patience.longest, view.now);
        }
        is_worth_it
    }

    /// Waits in the queue. Returns when to look again.
    fn queue(
        &mut self,
        view: View<'_>,
        patience: Patience,
        found: Selection,
        came: Instant,
        cx: &mut Context<'_>,
    ) -> Instant {
        let busy = self.busy.iter().map(|(id, _)| *id).collect();
        let (place, patience) = self.place.get_or_insert_with(|| {
            let (since, tokens) = (view.eligibility.since(came), view.context.tokens());
            let place = QueuePosition::join(&view.shared.signals, since, tokens, cx.waker());
            (place, patience)
        });
        let next = place.wait(view.wanted(found), busy, cx.waker(), view.now);
        next.map_or(patience.until, |next| next.min(patience.until))
    }

    /// Returns how long the request waits for its turn, if it does.
    fn patience(
        &self,
        view: View<'_>,
        found: Selection,
        skip: &[u64],
        came: Instant,
    ) -> Option<Patience> {
        let shared = view.shared;
        if let Some((_, patience)) = self.place {
            // Those who wait go on, also if the endpoint has begun to cool meanwhile, but not if
            // there is none any more.
            let mut left = view.snapshot.active().iter();
            left.find(|entry| view.eligibility.allows(view.snapshot, &entry.state))?;
            return Some(patience);
        }
        let mut others = (view.candidates()).filter(|endpoint| !skip.contains(&endpoint.id));
        let start_by = view.start_by(came);
        let until = match (found, shared.config.when_exhausted) {
            (Selection::WorthWaiting(_), _) => saturating_add(
                view.eligibility.since(came),
                shared.config.prefer_wait_below,
            ),
            _ if shared.config.max_wait.is_zero() => return None,
            (_, WhenExhausted::Wait) => {
                others.next()?;
                saturating_add(came, shared.config.max_wait)
            }
            _ => {
                let is_turn = |turn| matches!(turn, Availability::Now | Availability::Paced(_));
                others.find(|endpoint| is_turn(view.turn(endpoint)))?;
                start_by.unwrap_or_else(|| saturating_add(came, shared.config.max_wait))
            }
        };
        let until = start_by.map_or(until, |start_by| until.min(start_by));
        let longest = until.saturating_duration_since(came);
        let overloaded =
            shared.signals.queue.overloaded(longest, view.now) > longest.saturating_mul(OVERLOADED);
        let until = if overloaded {
            came + longest / STANDING
        } else {
            until
        };
        Some(Patience {
            until,
            longest,
            prefers: matches!(found, Selection::WorthWaiting(_)),
        })
    }

    /// Lets this request be woken, too, when the endpoints change.
    fn poll_changes(&mut self, view: View<'_>, cx: &mut Context<'_>) {
        let changed = self.changed.get_or_insert_with(|| {
            let shared = view.shared.clone();
            Box::pin(async move { shared.signals.queue.changed().await })
        });
        // They may have changed before it listened.
        if changed.as_mut().poll(cx).is_ready() || view.is_old() {
            self.changed = None;
            cx.waker().wake_by_ref();
        }
    }

    fn poll_timer(&mut self, at: Option<Instant>, cx: &mut Context<'_>) {
        let Some(at) = at else {
            self.timer = None;
            return;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl<'a> View<'a> {
    /// Whether there are other endpoints by now, or all were told to look again.
    fn is_old(self) -> bool {
        self.snapshot.version < self.pool.version()
            || self.epoch != self.shared.signals.queue.epoch()
    }

    /// The endpoints that a request may go to, without a pause for what it has tried.
    fn candidates(self) -> impl Iterator<Item = &'a Arc<EndpointState>> + 'a {
        let all = self
            .snapshot
            .active()
            .iter()
            .map(|entry: &ActiveEndpoint| &entry.state);
        all.filter(move |endpoint| self.eligibility.allows_now(self.snapshot, endpoint))
    }

    fn wanted(self, found: Selection) -> Wanted {
        if let Selection::WorthWaiting(end) = found {
            return self.better(end).cloned().collect();
        }
        if self.eligibility.is_anybody() {
            return self.snapshot.everybody().clone();
        }
        self.candidates().cloned().collect()
    }

    /// The endpoints that a request waits for although others could take it. Those others are left
    /// to the others.
    fn better(self, end: usize) -> impl Iterator<Item = &'a Arc<EndpointState>> + 'a {
        let View {
            shared,
            snapshot,
            eligibility,
            ..
        } = self;
        let tiers = snapshot.active()[..end].iter().map(|entry| &entry.state);
        tiers.filter(move |endpoint| {
            eligibility.allows_new(snapshot, endpoint)
                || eligibility.allows_before_next_tier(shared, snapshot, endpoint)
        })
    }

    fn turn(self, endpoint: &EndpointState) -> Availability {
        endpoint.turn(self.context.tokens(), self.now)
    }

    fn soonest(self, skip: &[u64]) -> Option<Instant> {
        let ask = (self.eligibility, self.context.tokens());
        self.shared.soonest(self.snapshot, ask, skip, self.now)
    }

    /// How long it takes until its turn, behind all who wait.
    fn wait_for_turn(self, found: Selection, came: Instant) -> Duration {
        let (tokens, queue) = (self.context.tokens(), &self.shared.signals.queue);
        let key = Key::behind(self.eligibility.since(came));
        if let Selection::WorthWaiting(end) = found {
            let ahead = queue.ahead(key, self.better(end));
            let better = self.better(end).map(|endpoint| &**endpoint);
            return PoolContext::wait_behind(ahead, better, tokens, self.now);
        }
        let ahead = queue.ahead(key, self.candidates());
        let wanted = wanted(self.snapshot, self.eligibility);
        PoolContext::wait_behind(ahead, wanted, tokens, self.now)
    }

    /// Until when an attempt has to begin so that its answer probably comes before the deadline.
    fn start_by(self, came: Instant) -> Option<Instant> {
        let deadline = self.context.deadline?;
        let slowest = self
            .candidates()
            .filter_map(|endpoint| {
                endpoint
                    .load
                    .latency
                    .seldom_more()
                    .max(endpoint.cooldown.patience())
            })
            .max()
            .unwrap_or_default();
        // The rare slow answer is no reason not to wait at all.
        let at_most = deadline.remaining(came) / 2;
        deadline.instant().checked_sub(slowest.min(at_most))
    }
}
