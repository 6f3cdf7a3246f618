//! What a request does while no endpoint can take it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use steadfast_core::BoxError;
use steadfast_core::layer::saturating_add;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::admit::queue::{Key, TICK, Wanted};
use crate::admit::signals::QueuePosition;
use crate::exhausted::WhenExhausted;
use crate::pool::Pool;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::eligibility::{Eligibility, Stage};
use crate::select::forecast::{soonest, wait_behind};
use crate::select::request_context::RequestContext;
use crate::select::selector::Selection;
use crate::state::EndpointState;
use crate::state::availability::Availability;

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

/// What follows from a look at the endpoints.
pub(crate) enum Step<T> {
    /// The endpoints have changed, or a timer has ended: look again.
    Again,
    Done(T),
    /// A waker is registered for all that can change the result.
    Wait,
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

    /// Waits for a slot or for a busy service, or gives up. Endpoints in `skip` are busy now.
    pub(crate) fn step(
        &mut self,
        view: View<'_>,
        selection: Selection,
        skip: &[u64],
        cx: &mut Context<'_>,
    ) -> Step<BoxError> {
        let now = view.now;
        let came = *self.came.get_or_insert(now);
        let patience = self.patience(view, selection, skip, came);
        let worth = patience.filter(|patience| self.is_worth_it(view, selection, *patience));
        // The slot comes in time: wait in the queue.
        if let Some(patience) = worth {
            let wake_at = self.queue(view, patience, selection, came, cx);
            let is_due = self.poll_timer(Some(wake_at.max(now + TICK)), cx);
            // A change before it joined did not wake it.
            return if is_due || view.is_old() {
                Step::Again
            } else {
                Step::Wait
            };
        }
        // The better endpoint takes too long: another one has to do, or is waited for as usual.
        if patience.is_some_and(|patience| patience.prefers) {
            self.hurries = true;
            self.place = None;
            return Step::Again;
        }
        let given_up = self.place.take().is_some();
        let deadline = view.context.deadline;
        let is_over = deadline.is_some_and(|deadline| deadline.remaining(now).is_zero());
        // A service is busy: it wakes the request, and so do a recovery and a change of the pool.
        if !self.busy.is_empty() && !is_over && !given_up {
            let recovery = soonest(view.eligibility, skip, now);
            let recovery = recovery.map(|at| if at > now { at } else { now + LOOK_AGAIN });
            let deadline = deadline.map(|deadline| deadline.instant());
            let is_due = self.poll_timer(recovery.into_iter().chain(deadline).min(), cx);
            let has_changed = self.poll_changes(view, cx);
            return if is_due || has_changed {
                Step::Again
            } else {
                Step::Wait
            };
        }
        // Nothing is worth a wait. A request whose time is too short must not come back.
        let in_time = patience.is_none();
        Step::Done(self.error.take().unwrap_or_else(|| {
            let exhausted = view
                .shared
                .exhausted(view.snapshot, view.context, in_time, now);
            exhausted.into()
        }))
    }

    /// Whether its turn comes before it would give up. Who waits already is not asked again.
    fn is_worth_it(&self, view: View<'_>, selection: Selection, patience: Patience) -> bool {
        let wait = match self.place {
            Some(_) => Duration::ZERO,
            None => view.wait_for_slot(selection, self.came.unwrap_or(view.now)),
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
        selection: Selection,
        came: Instant,
        cx: &mut Context<'_>,
    ) -> Instant {
        let busy = self.busy.iter().map(|(id, _)| *id).collect();
        let (place, patience) = self.place.get_or_insert_with(|| {
            let (since, tokens) = (view.eligibility.since(came), view.context.tokens());
            let place = QueuePosition::join(&view.shared.signals, since, tokens, cx.waker());
            (place, patience)
        });
        let next = place.wait(view.wanted(selection), busy, cx.waker(), view.now);
        next.map_or(patience.until, |next| next.min(patience.until))
    }

    /// Returns how long the request waits for its turn, if it does.
    fn patience(
        &self,
        view: View<'_>,
        selection: Selection,
        skip: &[u64],
        came: Instant,
    ) -> Option<Patience> {
        let shared = view.shared;
        if let Some((_, patience)) = self.place {
            // Those who wait go on, also if the endpoint has begun to cool meanwhile, but not if
            // there is none any more.
            let mut left = view.snapshot.active().iter();
            left.find(|entry| view.eligibility.admits(Stage::Ever, &entry.state))?;
            return Some(patience);
        }
        let mut others = view
            .candidates(Selection::Nobody)
            .filter(|endpoint| !skip.contains(&endpoint.id));
        let start_by = view.start_by(came);
        let until = match (selection, shared.config.when_exhausted) {
            (Selection::WorthWaiting(_), _) => {
                saturating_add(view.eligibility.since(came), shared.config.prefer_wait)
            }
            _ if shared.config.max_wait.is_zero() => return None,
            (_, WhenExhausted::Wait) => {
                others.next()?;
                saturating_add(came, shared.config.max_wait)
            }
            _ => {
                others.find(|endpoint| view.check(endpoint).is_paced())?;
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
            prefers: matches!(selection, Selection::WorthWaiting(_)),
        })
    }

    /// Returns whether the endpoints have changed, and registers for the next change.
    fn poll_changes(&mut self, view: View<'_>, cx: &mut Context<'_>) -> bool {
        let changed = self.changed.get_or_insert_with(|| {
            let shared = view.shared.clone();
            Box::pin(async move { shared.signals.queue.changed().await })
        });
        // They may have changed before it listened.
        let has_changed = changed.as_mut().poll(cx).is_ready() || view.is_old();
        if has_changed {
            self.changed = None;
        }
        has_changed
    }

    /// Returns whether the timer has ended, and registers for its end.
    fn poll_timer(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(at) = at else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<'a> View<'a> {
    /// Whether there are other endpoints by now, or all were told to look again.
    fn is_old(self) -> bool {
        self.snapshot.version < self.pool.version()
            || self.epoch != self.shared.signals.queue.epoch()
    }

    /// Returns the endpoints that the request waits for. If some are better than others, the others
    /// are left to other requests.
    fn candidates(
        self,
        selection: Selection,
    ) -> impl Iterator<Item = &'a Arc<EndpointState>> + use<'a> {
        let Self {
            snapshot,
            eligibility,
            ..
        } = self;
        let (end, stage) = match selection {
            Selection::WorthWaiting(end) => (end, Stage::Better),
            _ => (snapshot.active().len(), Stage::Next),
        };
        let active = snapshot.active()[..end].iter().map(|entry| &entry.state);
        active.filter(move |endpoint| eligibility.admits(stage, endpoint))
    }

    fn wanted(self, selection: Selection) -> Wanted {
        match selection {
            Selection::WorthWaiting(_) => {}
            _ if self.eligibility.is_unrestricted() => return self.snapshot.everybody().clone(),
            _ => {}
        }
        self.candidates(selection).cloned().collect()
    }

    fn check(self, endpoint: &EndpointState) -> Availability {
        self.eligibility.check(Stage::Next, endpoint, self.now)
    }

    /// Returns the time until its slot, behind all waiters.
    fn wait_for_slot(self, selection: Selection, came: Instant) -> Duration {
        let key = Key::behind(self.eligibility.since(came));
        let ahead = (self.shared.signals.queue).ahead(key, self.candidates(selection));
        let (end, stage) = match selection {
            Selection::WorthWaiting(end) => (end, Stage::Better),
            _ => (self.snapshot.active().len(), Stage::Ever),
        };
        let wanted = self.snapshot.active()[..end]
            .iter()
            .map(|entry| &*entry.state);
        wait_behind(ahead, (self.eligibility, stage), wanted, self.now)
    }

    /// Until when an attempt has to begin so that its answer probably comes before the deadline.
    fn start_by(self, came: Instant) -> Option<Instant> {
        let deadline = self.context.deadline?;
        let slowest = self
            .candidates(Selection::Nobody)
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
