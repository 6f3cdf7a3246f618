//! The task that checks all endpoints of a pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fastrand::Rng;
use steadfast_core::layer::saturating_add;
use tokio::time::{Instant, Sleep, sleep_until};

use super::outcome::MakeCheck;
use super::schedule::Schedule;
use super::watch::Watch;
use crate::pool::Pool;
use crate::pool::snapshot::{ActiveEndpoint, EndpointMode};

/// A task without an end. Dropping it drops each check in progress.
pub(super) struct Checker {
    /// The pool of the endpoints under check.
    pool: Arc<Pool>,
    /// The times and thresholds.
    schedule: Schedule,
    /// Creates the check of an endpoint.
    make: MakeCheck,
    /// The source of jitter.
    rng: Rng,
    /// The endpoints under check.
    watches: Vec<Watch>,
    /// The version of the endpoints under check.
    version: Option<u64>,
    /// Ends at the next due check.
    timer: Pin<Box<Sleep>>,
    /// Resolves when the endpoints change.
    changed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Checker {
    /// Creates a checker. The first poll adds the endpoints.
    pub(super) fn new(pool: Arc<Pool>, schedule: Schedule, make: MakeCheck, rng: Rng) -> Self {
        Self {
            changed: changed(&pool),
            pool,
            schedule,
            make,
            rng,
            watches: Vec::new(),
            version: None,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Updates the watches to the endpoints that take requests now.
    ///
    /// If an endpoint stays, its watch stays.
    fn follow(&mut self) {
        let snapshot = self.pool.snapshot();
        if self.version == Some(snapshot.version) {
            return;
        }
        self.version = Some(snapshot.version);
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.watches);
        let mut watch = |entry: &ActiveEndpoint| {
            let known = before
                .iter()
                .position(|watch| watch.state.id == entry.state.id);
            known.map(|at| before.swap_remove(at)).unwrap_or_else(|| {
                let due = saturating_add(now, self.schedule.first(&mut self.rng));
                let check = (self.make)(&entry.state.config);
                Watch::new(entry.state.clone(), check, due)
            })
        };
        let in_service = |entry: &&ActiveEndpoint| entry.service == EndpointMode::Enabled;
        self.watches = snapshot
            .all
            .iter()
            .filter(in_service)
            .map(&mut watch)
            .collect();
    }

    /// Adds new endpoints, and drops removed ones.
    fn poll_changed(&mut self, cx: &mut Context<'_>) {
        while self.changed.as_mut().poll(cx).is_ready() {
            self.changed = changed(&self.pool);
        }
        // The update follows the registration of the waker, so that no change is missed.
        self.follow();
    }
}

impl Future for Checker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            this.poll_changed(cx);
            let (schedule, rng) = (&this.schedule, &mut this.rng);
            let signals = &*this.pool.shared.signals;
            let watches = this.watches.iter_mut();
            let due = watches.filter_map(|watch| watch.poll((schedule, signals), rng, cx));
            let Some(next) = due.min() else {
                return Poll::Pending;
            };
            this.timer.as_mut().reset(next);
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// Waits for a change of the endpoints.
fn changed(pool: &Arc<Pool>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let shared = pool.shared.clone();
    Box::pin(async move { shared.signals.queue.changed().await })
}
