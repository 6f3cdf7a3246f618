//! The effect of verdicts on the state machine.

use std::time::Duration;

use steadfast_core::Verdict;
use tokio::time::Instant;

use super::admission::Admission;
use super::phase::Phase;
use super::state_machine::Machine;
use super::trips::TripReason;

/// What counted before the failure of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Nothing.
    Unknown,
    /// A success at the head.
    Success,
}

impl Machine {
    /// Counts a success of an attempt of the current generation.
    pub(crate) fn succeed(&mut self, admission: &Admission, now: Instant) {
        if admission.generation() != self.generation {
            return;
        }
        self.release(admission);
        match &mut self.phase {
            Phase::Closed { .. } => {
                self.window.push(false);
                self.streak.end();
                self.counters.succeed();
            }
            Phase::HalfOpen { successes } => {
                *successes += 1;
                if *successes >= self.rules.success_threshold {
                    self.close(now);
                }
            }
            Phase::Open { .. } | Phase::Disabled | Phase::Isolated => {}
        }
    }

    /// Counts a failure of an attempt of the current generation. Returns whether it counts.
    pub(crate) fn fail(&mut self, admission: &Admission, verdict: Verdict, now: Instant) -> bool {
        if admission.generation() != self.generation {
            return false;
        }
        if self.is_overtaken(admission, verdict.class()) {
            self.release(admission);
            return false;
        }
        self.count_failure(admission, Head::Unknown, verdict, now)
    }

    /// Returns whether the breaker opened or got an order since the attempt was admitted.
    pub(crate) fn is_before_opening(&self, admission: &Admission) -> bool {
        admission.generation() < self.opened
    }

    /// Counts a failure of an attempt that had succeeded at its head. Returns whether it counts.
    pub(crate) fn fail_late(
        &mut self,
        admission: &Admission,
        verdict: Verdict,
        now: Instant,
    ) -> bool {
        // The success of a probe counted in another phase, and ended no streak of this one.
        let head = if admission.is_probe() {
            Head::Unknown
        } else {
            Head::Success
        };
        !self.is_before_opening(admission) && self.count_failure(admission, head, verdict, now)
    }

    /// Opens because a rate is reached.
    pub(crate) fn trip_by_rate(&mut self, reason: TripReason, verdict: Verdict, now: Instant) {
        if let Phase::Closed { .. } = self.phase {
            self.trip(reason, verdict.hint(), now);
        }
    }

    /// Opens until the hint of a rate limit.
    pub(crate) fn hold(&mut self, admission: &Admission, hint: Duration, now: Instant) {
        if admission.generation() != self.generation {
            return;
        }
        if let Phase::Closed { .. } | Phase::HalfOpen { .. } = self.phase {
            self.open_until_hint(hint, now);
        }
    }

    fn count_failure(
        &mut self,
        admission: &Admission,
        head: Head,
        verdict: Verdict,
        now: Instant,
    ) -> bool {
        match self.phase {
            Phase::Closed { .. } => {
                let (class, streak) = (verdict.class(), admission.streak());
                let counts = match head {
                    Head::Unknown => self.streak.fail(class, streak, now),
                    Head::Success => self.streak.fail_after_success(class, streak, now),
                };
                if !counts {
                    return false;
                }
                self.window.push(true);
                self.counters.fail();
                if let Some(reason) = self.reached() {
                    self.trip(reason, verdict.hint(), now);
                }
            }
            Phase::HalfOpen { .. } => self.reopen(verdict.hint(), now),
            Phase::Open { .. } | Phase::Disabled | Phase::Isolated => return false,
        }
        true
    }

    /// Returns the first rule that is reached.
    pub(super) fn reached(&self) -> Option<TripReason> {
        let in_window = |failures| self.window.failures() >= failures;
        if self.streak.length() >= self.rules.consecutive_failures {
            Some(TripReason::ConsecutiveFailures)
        } else if self.rules.failures.is_some_and(in_window) {
            Some(TripReason::FailureRate)
        } else {
            self.counters.reached()
        }
    }
}
