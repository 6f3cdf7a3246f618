//! The effect of verdicts on the shared state.

use steadfast_core::{BreakerEffect, Class, Verdict};
use tokio::time::Instant;

use super::shared::Shared;
use crate::machine::{Admission, Machine, Mark, Phase, RateLimits, TripReason};
use crate::sync::{Ordering, now};

impl Shared {
    /// Returns whether the verdict changes nothing, which is the common case: no calls are counted,
    /// and a success has nothing to clear.
    #[inline]
    pub(crate) fn has_nothing_to_learn(&self, admission: &Admission, verdict: Verdict) -> bool {
        matches!(verdict.breaker(), BreakerEffect::Success)
            && self.rates.is_none()
            && self.word().is_clean_for(admission)
    }

    /// Settles an attempt. Returns whether its success may be taken back.
    pub(crate) fn settle(&self, admission: &Admission, verdict: Verdict) -> bool {
        if self.has_nothing_to_learn(admission, verdict) {
            return true;
        }
        match verdict.breaker() {
            BreakerEffect::Success => return self.succeed(admission, verdict),
            BreakerEffect::Failure => {
                self.fail(admission, verdict);
            }
            _ => self.settle_neutral(admission, verdict),
        }
        false
    }

    /// Takes back a failure, and the opening that it caused. Returns whether it had an effect.
    pub(crate) fn take_back(&self, mark: Mark) -> bool {
        self.step(|machine| {
            let can = machine.can_take_back(mark);
            if can {
                let rates = self.rates.as_ref();
                machine.take_back(mark, rates.is_some_and(|rates| rates.take_back()));
            }
            can
        })
    }

    /// Settles an attempt that had succeeded at its head.
    pub(crate) fn settle_late(&self, admission: &Admission, verdict: Verdict) {
        match verdict.breaker() {
            BreakerEffect::Success => {}
            BreakerEffect::Failure => self.fail_late(admission, verdict),
            _ if self.is_current(admission) => {
                self.limit(admission, verdict, Self::count_late_failure);
            }
            _ => {}
        }
    }

    fn fail_late(&self, admission: &Admission, verdict: Verdict) {
        let now = now();
        self.step(|machine| {
            if machine.is_before_opening(admission) {
                return self.count_late();
            }
            let counts = machine.fail_late(admission, verdict, now);
            self.count_failure(counts, machine, verdict, now, || {
                self.count_late_failure(admission)
            });
        });
    }

    fn succeed(&self, admission: &Admission, verdict: Verdict) -> bool {
        let word = self.word();
        if word.generation() != admission.generation() {
            self.count_late();
            // A probe that breaks is a failure in whichever phase the breaker is then.
            return admission.is_probe();
        }
        if admission.is_probe() {
            // Half-open has no rates: a slow probe has failed.
            if self.is_slow(admission) {
                self.fail(admission, verdict);
                return false;
            }
        } else if let Some(reason) = self.count(admission, Some(false)) {
            self.trip(admission, reason, verdict);
            return false;
        }
        if word.is_clean() {
            return true;
        }
        let now = now();
        self.step_of(admission, |machine| machine.succeed(admission, now))
            .is_some()
    }

    /// Counts a failure. Returns its mark, by which it can be taken back.
    pub(crate) fn fail(&self, admission: &Admission, verdict: Verdict) -> Option<Mark> {
        if !self.is_current(admission) {
            self.count_late();
            return None;
        }
        let now = now();
        let mark = self.step_of(admission, |machine| {
            let counts = machine.fail(admission, verdict, now);
            let mark = Mark::new(admission.generation(), machine.streak());
            self.count_failure(counts, machine, verdict, now, || {
                self.count(admission, Some(true))
            });
            counts.then_some(mark)
        });
        mark.flatten()
    }

    /// Counts a failure for the rates, if the breaker is closed. One lost connection is one bad
    /// call.
    fn count_failure(
        &self,
        counts: bool,
        machine: &mut Machine,
        verdict: Verdict,
        now: Instant,
        count: impl FnOnce() -> Option<TripReason>,
    ) {
        if !counts || !matches!(machine.phase(), Phase::Closed { .. }) {
            return;
        }
        if let Some(reason) = count() {
            machine.trip_by_rate(reason, verdict, now);
        }
    }

    /// Opens because a rate is reached, unless a transition came first.
    fn trip(&self, admission: &Admission, reason: TripReason, verdict: Verdict) {
        let now = now();
        self.step_of(admission, |machine| {
            machine.trip_by_rate(reason, verdict, now);
        });
    }

    fn settle_neutral(&self, admission: &Admission, verdict: Verdict) {
        self.release(admission);
        if !self.is_current(admission) {
            return self.count_late();
        }
        let count_bad = |shared: &Self, admission: &_| shared.count(admission, Some(true));
        if self.limit(admission, verdict, count_bad) {
            return;
        }
        // Neither a success nor a failure, but a call that reached the peer has a duration.
        let reached = !matches!(verdict.class(), Class::Cancelled | Class::Local);
        if !admission.is_probe() && reached {
            if let Some(reason) = self.count(admission, None) {
                self.trip(admission, reason, verdict);
            }
        }
    }

    /// Applies [`RateLimits`]. Returns whether the verdict is a rate limit with an effect.
    fn limit(
        &self,
        admission: &Admission,
        verdict: Verdict,
        count_bad: impl FnOnce(&Self, &Admission) -> Option<TripReason>,
    ) -> bool {
        if !matches!(verdict.class(), Class::RateLimited) {
            return false;
        }
        match (self.rate_limits, verdict.hint()) {
            (RateLimits::OpenUntilHint, Some(hint)) if !hint.is_zero() => {
                let now = now();
                self.step_of(admission, |machine| machine.hold(admission, hint, now));
            }
            (RateLimits::Count, _) if !admission.is_probe() => {
                if let Some(reason) = count_bad(self, admission) {
                    self.trip(admission, reason, verdict);
                }
            }
            _ => return false,
        }
        true
    }

    /// Makes one step with the verdict on an attempt, unless a transition came first.
    fn step_of<T>(&self, admission: &Admission, step: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        self.step(|machine| {
            if machine.generation() == admission.generation() {
                return Some(step(machine));
            }
            self.count_late();
            None
        })
    }

    /// Counts a verdict on an attempt from before a transition, which changes nothing.
    fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    fn is_slow(&self, admission: &Admission) -> bool {
        let rates = self.rates.as_ref();
        rates.is_some_and(|rates| rates.is_slow(admission))
    }

    /// Counts an attempt for the rates. Returns the rule that is reached.
    fn count(&self, admission: &Admission, failed: Option<bool>) -> Option<TripReason> {
        self.rates.as_ref()?.count(failed, admission)
    }

    /// Counts a failure after the success of the same attempt. Returns the rule that is reached.
    fn count_late_failure(&self, admission: &Admission) -> Option<TripReason> {
        if admission.is_probe() {
            // The success of a probe counted for no rate.
            return self.count(admission, Some(true));
        }
        self.rates.as_ref()?.count_late_failure()
    }
}
