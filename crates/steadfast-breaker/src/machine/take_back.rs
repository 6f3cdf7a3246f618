//! Failures that are taken back, and the opening that they caused.

use super::admission::Mark;
use super::before_opening::BeforeOpening;
use super::phase::Phase;
use super::state_machine::Machine;

impl Machine {
    /// Returns the state to which the machine returns if the next opening is taken back.
    pub(super) fn before_opening(&self) -> BeforeOpening {
        BeforeOpening {
            phase: self.phase,
            generation: self.generation,
            opened: self.opened,
            opened_at: self.opened_at,
            interrupted: self.interrupted,
            reason: self.reason,
            steps: self.backoff.steps(),
        }
    }

    /// Returns whether a failure with this mark still has an effect that can be taken back.
    pub(crate) fn can_take_back(&self, mark: Mark) -> bool {
        let is_closed = matches!(self.phase, Phase::Closed { .. });
        match self.before {
            Some(before) => before.generation == mark.generation(),
            None => is_closed && self.generation == mark.generation(),
        }
    }

    /// Takes back a failure. If it caused an opening that no rule supports any longer, the opening
    /// is taken back as well. `rate_reached` is whether a rate supports it.
    pub(crate) fn take_back(&mut self, mark: Mark, rate_reached: bool) {
        let probed =
            (self.before).is_some_and(|before| matches!(before.phase, Phase::HalfOpen { .. }));
        if !probed {
            // A success in between may have decayed the sum already. Then less evidence remains,
            // but the endpoint serves.
            self.streak.take_back(mark.streak());
            // Later outcomes may have pushed the failure out of the window already.
            if self.streak.may_hold(mark.streak(), &self.window) {
                self.window.remove_newest_failure();
            }
            self.counters.take_back();
        }
        let Some(before) = self.before else {
            return;
        };
        if probed || !rate_reached && self.reached().is_none() {
            self.enter(before.phase, None);
            self.generation = before.generation;
            self.opened = before.opened;
            self.opened_at = before.opened_at;
            self.interrupted = before.interrupted;
            self.reason = before.reason;
            self.backoff.restore(before.steps);
        }
    }
}
