//! The state machine: when it admits an attempt. No clock and no lock.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use steadfast_core::{BreakerState, Class};
use tokio::time::Instant;

use super::admission::{Admission, Mark, Timing};
use super::backoff::Backoff;
use super::before_opening::BeforeOpening;
use super::outcome_window::OutcomeWindow;
use super::phase::{Change, Phase, Wait};
use super::probe_slots::{ProbeSlots, SlotId};
use super::ramp::Ramp;
use super::rules::Rules;
use super::streak::FailureStreak;
use super::trips::{Counters, TripReason};

/// The state of a breaker without the counters of its rates.
///
/// Admission is here, verdicts are in `verdicts`, and changes of the phase in `transitions`.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) rules: Rules,
    pub(super) phase: Phase,
    /// The number of transitions.
    pub(super) generation: u32,
    /// The generation of the last opening or order, 0 if there was none. Verdicts on older attempts
    /// change nothing.
    pub(super) opened: u32,
    /// The reason of the last opening.
    pub(super) reason: Option<TripReason>,
    pub(super) streak: FailureStreak,
    pub(super) window: OutcomeWindow,
    pub(super) counters: Counters,
    pub(super) slots: ProbeSlots,
    pub(super) backoff: Backoff,
    /// When the breaker last opened.
    pub(super) opened_at: Option<Instant>,
    /// The end of the open time that an early probe has interrupted.
    pub(super) interrupted: Option<Instant>,
    pub(super) change: Option<Change>,
    /// The state before the present opening, if failures caused it.
    pub(super) before: Option<BeforeOpening>,
}

/// The longest time after which a rejected attempt at a half-open breaker is worth a repeat. A
/// probe may be answered at any time, and only the time at which its slot is reclaimed is known.
const PROBED: Duration = Duration::from_secs(1);

impl Machine {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            phase: Phase::NEW,
            generation: 0,
            opened: 0,
            reason: None,
            streak: FailureStreak::new(rules.window),
            window: OutcomeWindow::new(rules.window),
            counters: Counters::new(rules.counting),
            slots: ProbeSlots::new(rules.probes, rules.probe_timeout),
            backoff: Backoff::new(
                rules.recovery_timeout,
                rules.max_recovery_timeout,
                rules.jitter,
                rules.seed,
            ),
            opened_at: None,
            interrupted: None,
            change: None,
            before: None,
            rules,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.phase.state()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the number of the current streak.
    pub(crate) fn streak(&self) -> u32 {
        self.streak.number()
    }

    /// Returns the failures among the last outcomes.
    pub(crate) fn failures(&self) -> u32 {
        self.window.failures()
    }

    /// Returns whether a success has nothing to clear.
    pub(crate) fn is_clean(&self) -> bool {
        self.window.failures() == 0 && self.counters.is_clean()
    }

    pub(crate) fn slots_taken(&self) -> usize {
        self.slots.taken()
    }

    pub(crate) fn reason(&self) -> Option<TripReason> {
        self.reason
    }

    /// Takes the transition of the last step. No step makes two.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// Admits an attempt, or returns the time until one may be admitted.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Admission, Option<Duration>> {
        if let Wait::For(wait) = self.wait(now) {
            return Err(wait);
        }
        if let Phase::Open { .. } = self.phase {
            self.enter(Phase::HalfOpen { successes: 0 }, None);
        }
        let slot = self.reserve(now).map_err(Some)?;
        Ok(self.admission(slot, now))
    }

    fn admission(&self, slot: Option<SlotId>, now: Instant) -> Admission {
        Admission {
            mark: Mark::new(self.generation, self.streak.number()),
            slot,
            timing: Timing::Since(now),
        }
    }

    /// Admits a probe before the end of the open time, `every` after the last opening or probe.
    /// Returns the time until one may be admitted otherwise.
    pub(crate) fn admit_early(
        &mut self,
        every: Duration,
        now: Instant,
    ) -> Result<Admission, Option<Duration>> {
        if let Some(wait) = self.early_wait(every, now) {
            return Err(wait.into_time());
        }
        if let Phase::Open { until } = self.phase {
            if until > now {
                self.interrupted = Some(until);
            }
            self.enter(Phase::HalfOpen { successes: 0 }, None);
        }
        if let Phase::HalfOpen { .. } = self.phase {
            let slot = self.slots.take_early(now);
            return Ok(self.admission(Some(slot), now));
        }
        self.admit(now)
    }

    /// Returns the time until a probe may be admitted early, or `None` if it may be now.
    pub(crate) fn early_wait(&self, every: Duration, now: Instant) -> Option<Wait> {
        let Wait::For(wait) = self.wait(now) else {
            return None;
        };
        let early = match (self.phase, self.reason, self.opened_at) {
            // An order and a limit of the server stand until their end.
            (_, Some(TripReason::Manual | TripReason::RateLimited), _) | (_, _, None) => {
                return Some(Wait::For(wait));
            }
            (Phase::Open { .. }, _, Some(at)) => {
                saturating_add(at, every).saturating_duration_since(now)
            }
            (Phase::HalfOpen { successes }, ..) => self.slots.early_wait(successes, every, now)?,
            _ => return Some(Wait::For(wait)),
        };
        if early.is_zero() {
            return None;
        }
        Some(Wait::For(Some(wait.map_or(early, |wait| wait.min(early)))))
    }

    /// Returns whether a probe has succeeded, and the breaker has not closed yet.
    pub(crate) fn is_recovering(&self) -> bool {
        matches!(self.phase, Phase::HalfOpen { successes: 1.. })
    }

    /// Takes a probe slot if the breaker is half-open, or a share of the ramp.
    fn reserve(&mut self, now: Instant) -> Result<Option<SlotId>, Duration> {
        match &mut self.phase {
            Phase::HalfOpen { .. } => self.slots.take(now).map(Some).map_err(until_probed),
            Phase::Closed { ramp, .. } => {
                ramp.as_mut().map_or(Ok(()), |ramp| ramp.admit(now))?;
                ramp.take_if(|ramp: &mut Ramp| ramp.is_over(now));
                Ok(None)
            }
            Phase::Open { .. } | Phase::Disabled | Phase::Isolated => Ok(None),
        }
    }

    /// Returns the time until an attempt may be admitted.
    pub(crate) fn wait(&self, now: Instant) -> Wait {
        match self.phase {
            Phase::Closed { .. } | Phase::Disabled => Wait::Nothing,
            Phase::Open { until } if until <= now => Wait::Nothing,
            Phase::Open { until } => Wait::For(Some(until.saturating_duration_since(now))),
            Phase::HalfOpen { .. } => match self.slots.wait(now) {
                None => Wait::Nothing,
                wait => Wait::For(wait.map(until_probed)),
            },
            Phase::Isolated => Wait::For(None),
        }
    }

    /// Restarts the time of a probe that waited since its admission. Returns whether it still has
    /// its slot.
    pub(crate) fn renew(&mut self, admission: &Admission, now: Instant) -> bool {
        let renewed = |slot| self.slots.renew(slot, now);
        admission.slot.is_none_or(renewed)
    }

    /// Returns whether a later probe shows more than the loss or the timeout of this one.
    pub(super) fn is_overtaken(&self, admission: &Admission, class: Class) -> bool {
        matches!(class, Class::Timeout | Class::Transport)
            && (admission.slot).is_some_and(|slot| self.slots.is_overtaken(slot))
    }

    /// Releases the slot of a probe.
    pub(crate) fn release(&mut self, admission: &Admission) {
        if let Some(slot) = admission.slot {
            self.slots.free(slot);
        }
    }
}

fn until_probed(reclaimed: Duration) -> Duration {
    reclaimed.min(PROBED)
}
