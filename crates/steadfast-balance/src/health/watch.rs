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
use crate::state::cooldown::bench::{Bench, Cooling};
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
    /// The last bench that checks covered, with its consecutive successes.
    bench: Option<(Bench, u32)>,
    /// The generation of the last bench that a check has ended.
    ended: Option<u64>,
}

/// A check in progress.
struct Running {
    /// The check, bounded by the timeout.
    check: Pin<Box<Timeout<Checking>>>,
    /// The permit of a probe, if the breaker is not closed.
    probe: Option<Permit>,
    /// The bench that a success ends.
    bench: Option<Bench>,
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
            bench: None,
            ended: None,
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
        let bench = match self.state.limits.wide.cooldown.cooling(now) {
            Some(Cooling::Limited) => return None,
            Some(Cooling::Benched(bench)) if self.is_refuted(bench) => return None,
            Some(Cooling::Benched(bench)) => Some(bench),
            None => None,
        };
        // A check is not an attempt. It does not change the window or the ramp of a closed breaker.
        let probe = match self.state.breaker.state() {
            BreakerState::Closed => None,
            _ => Some(self.state.breaker.try_acquire().ok()?),
        };
        Some(Running {
            check: Box::pin(timeout(schedule.timeout, (self.check)(&self.state.config))),
            probe: probe.filter(Permit::is_probe),
            bench,
        })
    }

    /// Returns whether an attempt was refused after a check had ended the previous bench.
    ///
    /// The check does not detect the fault then.
    fn is_refuted(&self, bench: Bench) -> bool {
        bench.again
            && self
                .ended
                .is_some_and(|ended| bench.generation == ended + 1)
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
        let was_out = running.probe.is_some() || running.bench.is_some();
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
        if let Some(bench) = running.bench {
            self.check_bench(schedule, bench, outcome, now);
        }
        if was_out && self.state.is_available(&Demand::default(), now) {
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

    /// Ends a bench after enough consecutive passed checks since its start.
    fn check_bench(&mut self, schedule: &Schedule, bench: Bench, outcome: Outcome, now: Instant) {
        let before = match self.bench {
            Some((known, passed)) if known == bench => passed,
            _ => 0,
        };
        let passed = match outcome.finding {
            CheckOutcome::Passed => before + 1,
            CheckOutcome::Failed | CheckOutcome::Unknown => 0,
        };
        self.bench = Some((bench, passed));
        if passed >= schedule.healthy && self.state.limits.wide.cooldown.end_bench(bench, now) {
            self.ended = Some(bench.generation);
            tracing::info!(endpoint = %self.state.config.name, "health check ended a bench");
        }
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
