//! The state machine: when it opens, whom it lets through, when it closes. No clock and no lock.

use std::time::Duration;

use steadfast_core::{BreakerState, Class, saturating_add};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::places::{PlaceId, Places};
use crate::rules::Rules;
use crate::run::Run;
use crate::window::Window;

/// All that a breaker knows.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    phase: Phase,
    /// How often the phase changed.
    generation: u64,
    /// The generation that began with the last opening, 0 if there was none.
    opened: u64,
    run: Run,
    window: Window,
    places: Places,
    backoff: Backoff,
    change: Option<Change>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { successes: u32 },
}

/// What an admitted attempt remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) generation: u64,
    /// The number of the run that was current.
    pub(crate) run: u64,
    /// The place it holds, if it is a probe.
    pub(crate) place: Option<PlaceId>,
}

/// A transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
    pub(crate) retry_in: Option<Duration>,
}

impl Machine {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Closed,
            generation: 0,
            opened: 0,
            run: Run::default(),
            window: Window::new(rules.window),
            places: Places::new(rules.probes, rules.probe_timeout),
            backoff: Backoff::new(
                rules.recovery_timeout,
                rules.max_recovery_timeout,
                rules.jitter,
                rules.seed,
            ),
            change: None,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn run(&self) -> u64 {
        self.run.number()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.window.failures()
    }

    /// Takes the transition of the last step. No step makes two.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// Admits an attempt, or says in what time one may be admitted.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Admission, Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        if let Phase::Open { .. } = self.phase {
            self.enter(Phase::HalfOpen { successes: 0 }, None);
        }
        let place = match self.phase {
            Phase::HalfOpen { .. } => Some(self.places.take(now)?),
            Phase::Closed | Phase::Open { .. } => None,
        };
        Ok(Admission {
            generation: self.generation,
            run: self.run.number(),
            place,
        })
    }

    /// The time until an attempt may be admitted, `None` if that is now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Closed => None,
            Phase::Open { until } if until <= now => None,
            Phase::Open { until } => Some(until.saturating_duration_since(now)),
            Phase::HalfOpen { .. } => self.places.wait(now),
        }
    }

    /// Counts a success of an attempt of the current generation.
    pub(crate) fn succeed(&mut self, admission: &Admission) {
        if admission.generation != self.generation {
            return;
        }
        self.release(admission);
        match &mut self.phase {
            Phase::Closed => {
                self.run.end();
                self.window.push(false);
            }
            Phase::HalfOpen { successes } => {
                *successes += 1;
                if *successes >= self.rules.success_threshold {
                    self.close();
                }
            }
            Phase::Open { .. } => {}
        }
    }

    /// Counts a failure of an attempt of the current generation.
    pub(crate) fn fail(&mut self, admission: &Admission, class: Class, now: Instant) {
        if admission.generation == self.generation {
            self.count_failure(admission, class, now);
        }
    }

    /// Counts that a probe which had succeeded failed after all, unless that is old news: then
    /// the breaker has opened in the meantime.
    pub(crate) fn fail_late(&mut self, admission: &Admission, class: Class, now: Instant) {
        if admission.generation >= self.opened {
            self.count_failure(admission, class, now);
        }
    }

    /// Gives the place of a probe back.
    pub(crate) fn release(&mut self, admission: &Admission) {
        if let Some(place) = admission.place {
            self.places.free(place);
        }
    }

    fn count_failure(&mut self, admission: &Admission, class: Class, now: Instant) {
        match self.phase {
            Phase::Closed => {
                if !self.run.fail(class, admission.run) {
                    return;
                }
                self.window.push(true);
                if self.is_too_much() {
                    let wait = self.backoff.first();
                    self.open(wait, now);
                }
            }
            Phase::HalfOpen { .. } => {
                let wait = self.backoff.next();
                self.open(wait, now);
            }
            Phase::Open { .. } => {}
        }
    }

    fn is_too_much(&self) -> bool {
        let in_window = |failures| self.window.failures() >= failures;
        self.run.length() >= self.rules.consecutive_failures
            || self.rules.failures.is_some_and(in_window)
    }

    fn open(&mut self, wait: Duration, now: Instant) {
        let until = saturating_add(now, wait);
        self.enter(
            Phase::Open { until },
            Some(until.saturating_duration_since(now)),
        );
        self.opened = self.generation;
    }

    fn close(&mut self) {
        self.run.end();
        self.window.clear();
        self.enter(Phase::Closed, None);
    }

    fn enter(&mut self, phase: Phase, retry_in: Option<Duration>) {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.places.clear();
        self.change = Some(Change {
            from,
            to: self.state(),
            retry_in,
        });
    }
}
