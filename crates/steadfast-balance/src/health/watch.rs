//! The checks of one endpoint: their times, their conditions and their effects.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fastrand::Rng;
use steadfast_breaker::Permit;
use steadfast_core::layer::saturating_add;
use steadfast_core::{BreakerState, Class, Verdict};
use tokio::time::{Instant, Timeout, timeout};

use super::outcome::{Check, Checking, Outcome};
use super::schedule::Schedule;
use crate::admit::signals::PoolSignals;
use crate::state::EndpointState;
use crate::state::check_result::CheckOutcome;
use crate::state::cooldown::bench::Cooling;
use crate::state::limits::BenchedState;
use crate::state::limits::demand::Demand;
use crate::state::reason::Reason;

/// One endpoint under check.
pub(super) struct Watch {
    /// The endpoint.
    pub(super) state: Arc<EndpointState>,
    /// The time of the next check.
    pub(super) due: Instant,
    /// The check in progress.
    running: Option<Running>,
    /// Starts a check.
    check: Check,
    /// The consecutive failures while the breaker was closed.
    failed: u32,
}

/// A check in progress.
struct Running {
    /// The check, bounded by the timeout.
    check: Pin<Box<Timeout<Checking>>>,
    /// The permit of a probe, if the breaker is not closed.
    probe: Option<Permit>,
    /// The benches that a success ends, of the endpoint and of its keys.
    benches: Vec<(BenchedState, u64)>,
}

// ===== impl Watch =====

impl Watch {
    /// Creates a watch without a check in progress.
    pub(super) fn new(state: Arc<EndpointState>, check: Check, due: Instant) -> Self {
        Self {
            state,
            check,
            due,
            running: None,
            failed: 0,
        }
    }

    /// Starts a check if one is due, and polls the check in progress.
    ///
    /// Returns the time of the next poll. If a check is pending, returns `None`, because the check
    /// wakes the task.
    pub(super) fn poll(
        &mut self,
        (schedule, signals): (&Schedule, &PoolSignals),
        rng: &mut Rng,
        cx: &mut Context<'_>,
    ) -> Option<Instant> {
        let now = Instant::now();
        if self.running.is_none() && self.due <= now {
            self.due = saturating_add(now, schedule.next(rng));
            self.running = self.begin(schedule, now);
        }
        let Some(running) = &mut self.running else {
            return Some(self.due);
        };
        let outcome = match running.check.as_mut().poll(cx) {
            Poll::Pending => return None,
            Poll::Ready(Ok(outcome)) => outcome,
            Poll::Ready(Err(_)) => Outcome::failed(Verdict::new(Class::Timeout)),
        };
        let ended = self.running.take();
        self.settle(
            (schedule, signals),
            ended.expect("it was there above"),
            outcome,
        );
        Some(self.due)
    }

    /// Starts a check.
    ///
    /// Returns `None` if the check would only use up quota, or if the breaker does not admit it. A
    /// refuted bench also returns `None`.
    fn begin(&self, schedule: &Schedule, now: Instant) -> Option<Running> {
        let limits = &self.state.limits;
        if let Some(Cooling::Limited | Cooling::Refuted) = limits.wide.cooldown.cooling(now) {
            return None;
        }
        // A check is not an attempt. It does not change the window or the ramp of a closed breaker.
        let probe = match self.state.breaker.state() {
            BreakerState::Closed => None,
            _ => Some(self.state.breaker.try_acquire().ok()?),
        };
        Some(Running {
            check: Box::pin(timeout(schedule.timeout, (self.check)(&self.state.config))),
            probe: probe.filter(Permit::is_probe),
            benches: limits.benches(now),
        })
    }

    /// Applies the outcome of a check.
    fn settle(
        &mut self,
        (schedule, signals): (&Schedule, &PoolSignals),
        running: Running,
        outcome: Outcome,
    ) {
        let now = Instant::now();
        self.report(outcome, now);
        let was_out = running.probe.is_some() || !running.benches.is_empty();
        if outcome.finding != CheckOutcome::Failed {
            self.failed = 0;
        }
        match running.probe {
            Some(probe) if outcome.finding != CheckOutcome::Unknown => {
                if outcome.finding == CheckOutcome::Failed {
                    self.remember(outcome.verdict);
                }
                probe.record(outcome.verdict);
            }
            Some(probe) => drop(probe),
            None => self.count(schedule, outcome),
        }
        let ended = self.check_benches(schedule, &running.benches, outcome, now);
        if ended || was_out && self.state.is_available(&Demand::default(), now) {
            // This includes waiters for a busy service of another endpoint.
            signals.queue.wake_all(now);
        } else {
            signals.notify_waiters(now);
        }
    }

    /// Keeps a failed check as the reason of an open breaker.
    fn remember(&self, verdict: Verdict) {
        let reason = Reason::with_text(verdict.class(), "a failed health check");
        self.state.last_failure.set(reason);
    }

    /// Opens a closed breaker after enough consecutive failed checks.
    fn count(&mut self, schedule: &Schedule, outcome: Outcome) {
        if outcome.finding != CheckOutcome::Failed {
            return;
        }
        self.failed += 1;
        if self.failed >= schedule.unhealthy {
            self.failed = 0;
            // Requests may have opened the breaker meanwhile, so it may be half-open by now.
            if self.state.breaker.state() == BreakerState::Closed {
                self.remember(outcome.verdict);
                self.state.breaker.trip();
            }
        }
    }

    /// Ends benches after enough consecutive passed checks since their start. Returns whether one
    /// has ended.
    fn check_benches(
        &self,
        schedule: &Schedule,
        benches: &[(BenchedState, u64)],
        outcome: Outcome,
        now: Instant,
    ) -> bool {
        let endpoint = &self.state.config.name;
        let has_passed = outcome.finding == CheckOutcome::Passed;
        let mut any = false;
        for (state, generation) in benches {
            let keyed = state.as_ref().map(|state| &state.limits);
            let limits = keyed.unwrap_or(&self.state.limits.wide);
            let check = (*generation, has_passed);
            if limits.cooldown.check_bench(check, schedule.healthy, now) {
                any = true;
                let key = state.as_ref().and_then(|state| state.key());
                tracing::info!(%endpoint, key = key.map(tracing::field::display), "health check ended a bench");
            }
        }
        any
    }

    /// Records the outcome for the status.
    fn report(&self, outcome: Outcome, now: Instant) {
        let endpoint = &self.state.config.name;
        let (finding, class) = (outcome.finding, outcome.verdict.class());
        let before = self.state.last_check.note(finding, now);
        if before == Some(finding) {
            tracing::trace!(%endpoint, ?finding, %class, "endpoint checked");
        } else {
            tracing::debug!(%endpoint, ?finding, %class, "health check found a change");
        }
    }
}
