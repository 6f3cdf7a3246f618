//! The wait of a request while no endpoint is admissible.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use steadfast_core::BoxError;
use steadfast_core::layer::TICK;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::admit::departure::{Departure, End};
use crate::admit::patience::Patience;
use crate::admit::queue::Queue;
use crate::admit::signals::QueuePosition;
use crate::admit::view::View;
use crate::admit::waiters::Key;
use crate::select::eligibility::{Eligibility, Stage};
use crate::select::forecast::soonest;
use crate::select::recovery::next_test;
use crate::select::selector::Selection;

/// The delay before a request that waits for a busy service tries an available endpoint again.
/// The delay applies if another request took the slot first.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The wake-up sources of a request without an endpoint.
pub(crate) struct Waiting<S> {
    /// The services of busy endpoints, kept so that they can wake this request.
    pub(crate) busy: Vec<(u64, S)>,
    /// The ids of endpoints with failed services, which are not tried again.
    pub(crate) lost: Vec<u64>,
    /// The last error of a failed service.
    pub(crate) error: Option<BoxError>,
    /// Whether the request takes any available endpoint and no longer waits for a better one.
    pub(crate) hurries: bool,
    /// When the request reached the balancer.
    came: Option<Instant>,
    /// Its position in the queue and its patience, if it waits for a slot.
    place: Option<(QueuePosition, Patience)>,
    /// Wakes this request for an event that no busy service reports.
    timer: Option<Pin<Box<Sleep>>>,
    /// Wakes this request if the endpoints change while it waits for a busy service.
    changed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

/// The result of a search among the endpoints.
pub(crate) enum Step<T> {
    /// The endpoints have changed or a timer has ended, so the request searches again.
    Again,
    /// The wait is over.
    Done(T),
    /// A waker is registered for each event that can change the result.
    Wait,
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
    /// Leaves the queue, because an endpoint has admitted the request. Returns its wait, if it had
    /// a position.
    pub(crate) fn serve(&mut self, is_probe: bool) -> Option<Departure> {
        let (place, _) = self.place.take()?;
        Some(place.leave(if is_probe { End::Probe } else { End::Served }))
    }

    /// Returns whether the caller of a request in the queue is probably about to cancel it. The
    /// wait of such a request is over.
    pub(crate) fn expire(
        &mut self,
        queue: &Queue,
        eligibility: &Eligibility<'_>,
        now: Instant,
    ) -> bool {
        let (Some((place, patience)), Some(came)) = (&mut self.place, self.came) else {
            return false;
        };
        let age = now.saturating_duration_since(eligibility.since(came));
        let pressure = queue.pressure(eligibility.demand, patience.has_deadline, now);
        let is_shed = !patience.prefers && pressure.overloaded && queue.is_shed(place.key());
        if is_shed {
            patience.end(now);
        }
        is_shed || patience.expire(age, pressure, now)
    }

    /// Returns its position in the queue, if it has one.
    pub(crate) fn key(&self) -> Option<Key> {
        self.place.as_ref().map(|(place, _)| place.key())
    }

    /// Waits for a slot or for a busy service, or gives up. The endpoints in `skip` are busy now.
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
        // The slot comes in time, so the request waits in the queue.
        if let Some(patience) = worth {
            let wake_at = self.queue(view, patience, selection, came, cx);
            let is_due = self.poll_timer(Some(wake_at.max(now + TICK)), cx);
            // A change before the request joined the queue did not wake it.
            return if is_due || view.is_old() {
                Step::Again
            } else {
                Step::Wait
            };
        }
        // The better endpoint takes too long, so the request uses another one or waits for any.
        if patience.is_some_and(|patience| patience.prefers) {
            self.hurries = true;
            self.give_up();
            return Step::Again;
        }
        let given_up = self.give_up();
        let since = view.eligibility.since(came);
        let deadline = view.context.deadline;
        let is_over = deadline.is_some_and(|deadline| deadline.remaining(now).is_zero());
        // A busy service wakes the request, and so do a recovery and a change of the pool.
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
        // No wait is worthwhile. If its time is too short, the request must not come back.
        let slot_in = patience.map(|_| match view.wait_for_slot(selection, since) {
            // The first of the queue gave up. Its caller would come back behind all waiters.
            Duration::ZERO => view.wait_for_slot(selection, now),
            slot_in => slot_in,
        });
        Step::Done(self.error.take().unwrap_or_else(|| {
            let exhausted = view
                .shared
                .exhausted(view.snapshot, view.context, slot_in, now);
            exhausted.into()
        }))
    }

    /// Leaves the queue without a slot. Returns whether it had a position.
    fn give_up(&mut self) -> bool {
        let Some((place, _)) = self.place.take() else {
            return false;
        };
        place.leave(End::GaveUp);
        true
    }

    /// Returns whether its slot comes before it would give up. If the request is already in the
    /// queue, its wait is not estimated again.
    fn is_worth_it(&self, view: View<'_>, selection: Selection, patience: Patience) -> bool {
        let (now, queue) = (view.now, &view.shared.signals.queue);
        let (came, demand) = (self.came.unwrap_or(now), view.eligibility.demand);
        if view.is_in_vain(came, patience) {
            return false;
        }
        if self.place.is_some() {
            return now < patience.until;
        }
        let pressure = view.pressure(patience.has_deadline);
        let wait = match view.sheds() || patience.prefers {
            true => view.wait_for_slot(selection, view.eligibility.since(came)),
            false => Duration::ZERO,
        };
        let is_worth_it = patience.admits(wait, pressure, now);
        if !is_worth_it && patience.is_evidence(wait, pressure) {
            queue.rejected(demand, now);
        }
        is_worth_it
    }

    /// Waits in the queue. Returns the time of the next search.
    fn queue(
        &mut self,
        view: View<'_>,
        patience: Patience,
        selection: Selection,
        came: Instant,
        cx: &mut Context<'_>,
    ) -> Instant {
        let busy: Vec<_> = self.busy.iter().map(|(id, _)| *id).collect();
        let probe = view.next_probe(&busy);
        let (place, patience) = self.place.get_or_insert_with(|| {
            let (since, demand) = (view.eligibility.since(came), view.eligibility.demand);
            let departure = Departure {
                end: End::Cancelled,
                since,
                joined: view.waits_since(since),
                bound: patience.bound,
                late: patience.late,
                due: patience.due,
                has_deadline: patience.has_deadline,
            };
            let signals = &view.shared.signals;
            let place = QueuePosition::join(signals, since, demand, departure, cx.waker());
            (place, patience)
        });
        let wanted = view.wanted(selection);
        let demand = view.eligibility.demand;
        let next = place.wait(demand, (wanted, busy.clone()), cx.waker(), view.now);
        let next = next.max(next.and(view.held_until(selection)));
        // The first two waiters of an endpoint have a timer.
        let test = next.and_then(|_| next_test(view.eligibility, &busy, view.now));
        let next = probe.into_iter().chain(test).chain(next).min();
        next.map_or(patience.until, |next| next.min(patience.until))
    }

    /// Returns the limits of its wait for a slot, or `None` if it does not wait for one.
    fn patience(
        &mut self,
        view: View<'_>,
        selection: Selection,
        skip: &[u64],
        came: Instant,
    ) -> Option<Patience> {
        if let Some((_, patience)) = &mut self.place {
            if view.now >= patience.until && patience.probes {
                // The wait for a probe is short. The probe may have shown that an endpoint serves.
                *patience = view.patience(selection, skip, came).unwrap_or(*patience);
            }
            let patience = *patience;
            // A waiter continues even if its endpoint has begun to cool. It stops if no endpoint
            // is left.
            let mut left = view.snapshot.active().iter();
            left.find(|entry| view.eligibility.admits(Stage::Ever, &entry.state))?;
            return Some(patience);
        }
        view.patience(selection, skip, came)
    }

    /// Returns whether the endpoints have changed, and registers for the next change.
    fn poll_changes(&mut self, view: View<'_>, cx: &mut Context<'_>) -> bool {
        let changed = self.changed.get_or_insert_with(|| {
            let shared = view.shared.clone();
            Box::pin(async move { shared.signals.queue.changed().await })
        });
        // The endpoints may have changed before the request registered.
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
