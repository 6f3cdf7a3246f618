//! The state machine: when it opens, whom it lets through, when it closes. No clock and no lock.

use std::time::Duration;

use steadfast_core::{BreakerState, Verdict, saturating_add};
use tokio::time::Instant;

use crate::machine::backoff::Backoff;
use crate::machine::cusum::Cusum;
use crate::machine::outcome_window::OutcomeWindow;
use crate::machine::probe_slots::{ProbeSlots, SlotId};
use crate::machine::ramp::Ramp;
use crate::machine::rules::Rules;
use crate::machine::streak::FailureStreak;

/// All that a breaker knows, but for the counters of its rates.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    phase: Phase,
    /// How often the phase changed.
    generation: u32,
    /// The generation that began with the last opening or order, 0 if there was none. What is older
    /// changes nothing any more.
    opened: u32,
    /// Why it opened the last time.
    reason: Option<TripReason>,
    run: FailureStreak,
    recent: OutcomeWindow,
    excess: Option<Cusum>,
    places: ProbeSlots,
    backoff: Backoff,
    change: Option<Change>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Closed {
        since: Option<Instant>,
        ramp: Option<Ramp>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        successes: u32,
    },
    /// Lets everything through and counts nothing.
    Disabled,
    /// Open until somebody says otherwise.
    Isolated,
}

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TripReason {
    /// Failures in a row.
    ConsecutiveFailures,
    /// Failures among the last outcomes, or their share of a window.
    FailureRate,
    /// More failures than a share of the calls would be.
    ExcessFailures,
    /// The share of calls that took too long.
    SlowCalls,
    /// A rate limit, until its hint.
    RateLimited,
    /// A probe failed.
    Probe,
    /// Somebody called [`trip`](crate::CircuitBreaker::trip) or
    /// [`isolate`](crate::CircuitBreaker::isolate).
    Manual,
}

/// What an admitted attempt remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) generation: u32,
    /// The number of the run that was current.
    pub(crate) run: u32,
    /// The place it holds, if it is a probe.
    pub(crate) place: Option<SlotId>,
    pub(crate) timing: Timing,
}

/// How long an attempt takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timing {
    /// Nobody wants to know.
    Unknown,
    Since(Instant),
    /// So many nanoseconds to its head. A duration would make the permit larger, which is moved
    /// from the call to the future and on to the body.
    Took(u64),
}

/// What a success has cleared, in case that its attempt fails after all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleared {
    /// What it took off the excess.
    excess: u32,
}

/// A transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
    pub(crate) retry_in: Option<Duration>,
}

impl Admission {
    pub(crate) fn is_probe(&self) -> bool {
        self.place.is_some()
    }

    /// How long the attempt has taken at `now`.
    pub(crate) fn elapsed(&self, now: Instant) -> Option<Duration> {
        match self.timing {
            Timing::Unknown => None,
            Timing::Since(start) => Some(now.saturating_duration_since(start)),
            Timing::Took(nanos) => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Begins the attempt at `now`, if it is timed.
    pub(crate) fn begin(&mut self, now: impl Fn() -> Instant) {
        if let Timing::Since(start) = &mut self.timing {
            *start = now();
        }
    }

    /// The head has come: what follows is not the time of the attempt.
    pub(crate) fn stop(&mut self, now: impl Fn() -> Instant) {
        if let Timing::Since(start) = self.timing {
            let nanos = now().saturating_duration_since(start).as_nanos();
            self.timing = Timing::Took(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }
}

impl Machine {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Closed {
                since: None,
                ramp: None,
            },
            generation: 0,
            opened: 0,
            reason: None,
            run: FailureStreak::default(),
            recent: OutcomeWindow::new(rules.window),
            excess: rules
                .excess
                .map(|(failures, share)| Cusum::new(failures, share)),
            places: ProbeSlots::new(rules.probes, rules.probe_timeout),
            backoff: Backoff::new(
                rules.recovery_timeout,
                rules.max_recovery_timeout,
                rules.jitter,
                rules.seed,
            ),
            change: None,
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

    pub(crate) fn run(&self) -> u32 {
        self.run.number()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.recent.failures()
    }

    /// Whether a success has nothing to clear.
    pub(crate) fn is_clean(&self) -> bool {
        self.recent.failures() == 0 && self.excess.is_none_or(|excess| excess.is_zero())
    }

    pub(crate) fn slots_taken(&self) -> usize {
        self.places.taken()
    }

    pub(crate) fn reason(&self) -> Option<TripReason> {
        self.reason
    }

    /// Takes the transition of the last step. No step makes two.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// Admits an attempt, or says in what time one may be admitted.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Admission, Option<Duration>> {
        if let Wait::For(wait) = self.wait(now) {
            return Err(wait);
        }
        if let Phase::Open { .. } = self.phase {
            self.enter(Phase::HalfOpen { successes: 0 }, None);
        }
        let place = match &mut self.phase {
            Phase::HalfOpen { .. } => {
                let taken = self.places.take(now);
                Some(taken.map_err(|wait| Some(until_probed(wait)))?)
            }
            Phase::Closed { ramp, .. } => {
                if let Some(wait) = ramp.as_mut().and_then(|ramp| ramp.admit(now).err()) {
                    return Err(Some(wait));
                }
                if ramp.is_some_and(|ramp| ramp.is_over(now)) {
                    *ramp = None;
                }
                None
            }
            Phase::Open { .. } | Phase::Disabled | Phase::Isolated => None,
        };
        Ok(Admission {
            generation: self.generation,
            run: self.run.number(),
            place,
            timing: Timing::Since(now),
        })
    }

    /// The time until an attempt may be admitted.
    pub(crate) fn wait(&self, now: Instant) -> Wait {
        match self.phase {
            Phase::Closed { .. } | Phase::Disabled => Wait::Nothing,
            Phase::Open { until } if until <= now => Wait::Nothing,
            Phase::Open { until } => Wait::For(Some(until.saturating_duration_since(now))),
            Phase::HalfOpen { .. } => match self.places.wait(now) {
                None => Wait::Nothing,
                wait => Wait::For(wait.map(until_probed)),
            },
            Phase::Isolated => Wait::For(None),
        }
    }

    /// Counts a success of an attempt of the current generation.
    pub(crate) fn succeed(&mut self, admission: &Admission, now: Instant) -> Cleared {
        let mut cleared = Cleared::default();
        if admission.generation != self.generation {
            return cleared;
        }
        self.release(admission);
        match &mut self.phase {
            Phase::Closed { .. } => {
                self.recent.push(false);
                let excess = self.excess.as_mut().map_or(0, Cusum::succeed);
                self.run.end();
                cleared.excess = u32::try_from(excess).unwrap_or(u32::MAX);
            }
            Phase::HalfOpen { successes } => {
                *successes += 1;
                if *successes >= self.rules.success_threshold {
                    self.close(now);
                }
            }
            Phase::Open { .. } | Phase::Disabled | Phase::Isolated => {}
        }
        cleared
    }

    /// Counts a failure of an attempt of the current generation. Returns whether it counts.
    pub(crate) fn fail(&mut self, admission: &Admission, verdict: Verdict, now: Instant) -> bool {
        admission.generation == self.generation && self.count_failure(admission, None, verdict, now)
    }

    /// Whether the breaker has opened since the attempt was admitted, or was given an order.
    pub(crate) fn is_before_opening(&self, admission: &Admission) -> bool {
        admission.generation < self.opened
    }

    /// Counts that an attempt which had succeeded failed after all. Returns whether it counts.
    pub(crate) fn fail_late(
        &mut self,
        admission: &Admission,
        cleared: Cleared,
        verdict: Verdict,
        now: Instant,
    ) -> bool {
        // The success of a probe was that of another phase, or is forgotten by now.
        let cleared = (!admission.is_probe()).then_some(cleared);
        !self.is_before_opening(admission) && self.count_failure(admission, cleared, verdict, now)
    }

    /// Opens because the counters of a rate say so.
    pub(crate) fn trip_by_rate(&mut self, reason: TripReason, verdict: Verdict, now: Instant) {
        if let Phase::Closed { .. } = self.phase {
            self.trip(reason, verdict.hint(), now);
        }
    }

    /// Leaves the service alone until the hint of a rate limit, however it has done.
    pub(crate) fn hold(&mut self, admission: &Admission, hint: Duration, now: Instant) {
        if admission.generation != self.generation {
            return;
        }
        if let Phase::Closed { .. } | Phase::HalfOpen { .. } = self.phase {
            self.open(hint.min(MAX_HINT), TripReason::RateLimited, now);
        }
    }

    /// Lets a probe begin that has waited since it was admitted. Returns whether it may.
    pub(crate) fn renew(&mut self, admission: &Admission, now: Instant) -> bool {
        let renewed = |place| self.places.renew(place, now);
        admission.place.is_none_or(renewed)
    }

    /// Gives the place of a probe back.
    pub(crate) fn release(&mut self, admission: &Admission) {
        if let Some(place) = admission.place {
            self.places.free(place);
        }
    }

    /// Does what somebody wants, whatever the attempts say.
    pub(crate) fn order(&mut self, order: Order, now: Instant) {
        match (order, self.phase) {
            (Order::Trip, Phase::Open { .. } | Phase::Disabled | Phase::Isolated)
            | (Order::Disable, Phase::Disabled)
            | (Order::Isolate, Phase::Isolated) => {}
            (Order::Trip, Phase::Closed { .. }) => self.trip(TripReason::Manual, None, now),
            (Order::Trip, Phase::HalfOpen { .. }) => {
                let wait = self.backoff.after_probe();
                self.open(wait, TripReason::Manual, now);
            }
            (Order::Reset, _) => {
                self.backoff.reset();
                self.clear();
                self.enter(
                    Phase::Closed {
                        since: None,
                        ramp: None,
                    },
                    None,
                );
                self.opened = self.generation;
            }
            (Order::Disable, _) => {
                self.clear();
                self.enter(Phase::Disabled, None);
                self.opened = self.generation;
            }
            (Order::Isolate, _) => {
                self.enter(Phase::Isolated, None);
                self.opened = self.generation;
                self.reason = Some(TripReason::Manual);
            }
        }
    }

    /// Counts a failure, in the place of the success that has `cleared` something before.
    fn count_failure(
        &mut self,
        admission: &Admission,
        cleared: Option<Cleared>,
        verdict: Verdict,
        now: Instant,
    ) -> bool {
        match self.phase {
            Phase::Closed { .. } => {
                if !self.run.fail(verdict.class(), admission.run, now) {
                    return false;
                }
                let Cleared { excess } = cleared.unwrap_or_default();
                match cleared {
                    // The row goes on that no other success has ended.
                    Some(_) => {
                        self.recent.turn();
                        self.run.restore(self.recent.row());
                    }
                    None => self.recent.push(true),
                }
                if let Some(sum) = &mut self.excess {
                    sum.fail(excess.into());
                }
                let in_recent = |failures| self.recent.failures() >= failures;
                if self.run.length() >= self.rules.consecutive_failures {
                    self.trip(TripReason::ConsecutiveFailures, verdict.hint(), now);
                } else if self.rules.failures.is_some_and(in_recent) {
                    self.trip(TripReason::FailureRate, verdict.hint(), now);
                } else if self.excess.is_some_and(|excess| excess.is_reached()) {
                    self.trip(TripReason::ExcessFailures, verdict.hint(), now);
                }
            }
            Phase::HalfOpen { .. } => self.reopen(verdict.hint(), now),
            Phase::Open { .. } | Phase::Disabled | Phase::Isolated => return false,
        }
        true
    }

    fn trip(&mut self, reason: TripReason, hint: Option<Duration>, now: Instant) {
        let wait = match self.phase {
            // Its recovery was not over.
            Phase::Closed {
                ramp: Some(ramp), ..
            } if !ramp.is_over(now) => self.backoff.after_probe(),
            Phase::Closed {
                since: Some(since), ..
            } => self
                .backoff
                .after_health(now.saturating_duration_since(since)),
            _ => self.backoff.after_health(Duration::MAX),
        };
        self.open(at_least(wait, hint), reason, now);
    }

    fn reopen(&mut self, hint: Option<Duration>, now: Instant) {
        let wait = self.backoff.after_probe();
        self.open(at_least(wait, hint), TripReason::Probe, now);
    }

    fn open(&mut self, wait: Duration, reason: TripReason, now: Instant) {
        let until = saturating_add(now, wait);
        self.enter(
            Phase::Open { until },
            Some(until.saturating_duration_since(now)),
        );
        self.opened = self.generation;
        self.reason = Some(reason);
    }

    fn close(&mut self, now: Instant) {
        self.clear();
        self.enter(
            Phase::Closed {
                since: Some(now),
                ramp: Ramp::new(self.rules.ramp, now),
            },
            None,
        );
    }

    fn clear(&mut self) {
        self.run.end();
        self.recent.clear();
        if let Some(excess) = &mut self.excess {
            excess.clear();
        }
    }

    fn enter(&mut self, phase: Phase, retry_in: Option<Duration>) {
        let from = self.state();
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
        self.places.clear();
        let to = self.state();
        if from != to || retry_in.is_some() {
            self.change = Some(Change { from, to, retry_in });
        }
    }
}

/// What somebody wants of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Trip,
    Reset,
    Disable,
    Isolate,
}

/// When an attempt may be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Nothing,
    /// In this time, if that is known.
    For(Option<Duration>),
}

/// After what time whoever met a probe is to ask again. That may be answered at any time, and what
/// is known is only when its place is reclaimed.
const PROBED: Duration = Duration::from_secs(1);

fn until_probed(reclaimed: Duration) -> Duration {
    reclaimed.min(PROBED)
}

/// A server that asks for more has made a mistake.
const MAX_HINT: Duration = Duration::from_secs(24 * 3600);

fn at_least(wait: Duration, hint: Option<Duration>) -> Duration {
    wait.max(hint.unwrap_or_default().min(MAX_HINT))
}

impl Wait {
    /// The time, which is without end if it is not known.
    pub(crate) fn into_time(self) -> Option<Duration> {
        match self {
            Self::Nothing => None,
            Self::For(wait) => Some(wait.unwrap_or(Duration::MAX)),
        }
    }
}

impl Phase {
    pub(crate) fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } | Self::Disabled => BreakerState::Closed,
            Self::Open { .. } | Self::Isolated => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

impl TripReason {
    /// Returns the name as it stands in logs and metrics, such as `failure_rate`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::ExcessFailures => "excess_failures",
            Self::SlowCalls => "slow_calls",
            Self::RateLimited => "rate_limited",
            Self::Probe => "probe",
            Self::Manual => "manual",
        }
    }
}

impl std::fmt::Display for TripReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
