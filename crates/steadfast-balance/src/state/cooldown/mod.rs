//! The cooldown of a limited endpoint, and its return to service.
//!
//! ```text
//!            a refusal                the time has passed            it was not refused
//!   Clear ──────────────▶ Cooling ─────────────────────▶ Probing ─────────────────────▶ Paced
//!     ▲                     ▲  ▲                            │                           │  │
//!     │                     │  └──────── a refusal ─────────┘                           │  │
//!     │                     └─────────────────────── a refusal ─────────────────────────┘  │
//!     └────────────────────── its rate has grown to many times what it was ────────────────┘
//! ```
//!
//! Each cooldown begins a generation. Only attempts of the current generation change the state. In
//! a burst of refusals only the first one counts. An older response neither lengthens nor shortens
//! a newer cooldown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::state::rate::Rate;
use crate::state::trigger::{PresentCooldown, Trigger};

/// The longest cooldown: one day. Longer hints are cut to it.
pub(crate) const MAX_COOLDOWN: Duration = Duration::from_secs(86_400);
/// The cooldown after the first refusal without a hint. It doubles with each refusal of a streak.
const FIRST_WITHOUT_HINT: Duration = Duration::from_secs(1);
/// The longest cooldown after a refusal without a hint.
const MAX_WITHOUT_HINT: Duration = Duration::from_secs(60);
/// The bounds of the patience, which is twice the response time of the last refusal. Refusals
/// arrive fast, so a probe without a refusal within the patience counts as accepted.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

/// The cooldown state of one endpoint.
#[derive(Debug)]
pub(crate) struct Cooldown {
    /// The generation, and in the lowest bit whether the phase is other than `Clear`. An attempt on
    /// an endpoint without a limit reads only this word.
    word: AtomicU64,
    state: Mutex<State>,
}

/// The part of a cooldown that the lock protects.
#[derive(Debug)]
struct State {
    phase: Phase,
    /// The number of cooldowns so far.
    generation: u64,
    /// The streak of refused probes.
    streak: u32,
    /// Whether an attempt of this generation has succeeded.
    back: bool,
    /// Whether the caller of the present probe has cancelled it.
    left: bool,
    /// Whether the last cooldown is a bench.
    bench: bool,
    /// The trigger of the last cooldown.
    trigger: Trigger,
    /// The time after which a probe without a refusal counts as accepted.
    patience: Duration,
    /// The learned send rate.
    rate: Rate,
}

/// The phase between a refusal and the end of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// No limit is known.
    Clear,
    /// No attempt is admitted before `until`.
    Cooling { until: Instant },
    /// One probe at a time is admitted. `sent` is the instant of the present probe, or `None` if
    /// the slot is free.
    Probing { sent: Option<Instant> },
    /// Attempts are admitted at the send rate.
    Paced,
}

/// Records the admission of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u64,
    pass: Pass,
    sent: Instant,
}

/// The details of a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal {
    /// The hint for the length of the cooldown.
    pub(crate) hint: Option<Duration>,
    /// The response time of the refusal, if the refusal was the response to the attempt.
    pub(crate) took: Option<Duration>,
    /// The send rate that the response headers allow, in attempts per second.
    pub(crate) seed: Option<f64>,
    /// Whether the reason is a spent quota.
    pub(crate) bench: bool,
    /// The class and the status of the refusal.
    pub(crate) trigger: Trigger,
}

/// The kind of an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// No limit was known.
    Free,
    /// Within the learned send rate.
    Paced,
    /// As the probe after a cooldown.
    Probe,
}

impl Cooldown {
    /// Creates the state of an endpoint without a known limit.
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            state: Mutex::new(State {
                phase: Phase::Clear,
                generation: 0,
                streak: 0,
                back: true,
                left: false,
                bench: false,
                trigger: Trigger::default(),
                patience: PATIENCE.0,
                rate: Rate::new(Instant::now()),
            }),
        }
    }

    /// Admits an attempt. Returns `None` if the endpoint cools, a probe is in flight, or the send
    /// rate is used up.
    #[inline]
    pub(crate) fn try_admit(&self, now: Instant) -> Option<Ticket> {
        let word = self.word.load(Ordering::Acquire);
        let (generation, pass) = match word & 1 {
            0 => (word >> 1, Pass::Free),
            _ => self.try_admit_limited(now)?,
        };
        Some(Ticket {
            generation,
            pass,
            sent: now,
        })
    }

    /// Admits an attempt under the lock, because a limit is known.
    fn try_admit_limited(&self, now: Instant) -> Option<(u64, Pass)> {
        let mut state = self.lock();
        let pass = state.admit(now);
        self.publish(&state);
        Some((state.generation, pass?))
    }

    /// Returns whether the phase is other than `Clear`.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.word.load(Ordering::Acquire) & 1 == 1
    }

    /// Returns whether an attempt would be admitted.
    #[inline]
    pub(crate) fn would_admit(&self, now: Instant) -> bool {
        !self.is_busy() || self.ready_at(now) <= now
    }

    /// Returns the earliest instant of the next admission, which may be `now`.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        self.readiness(now).0
    }

    /// Returns the earliest instant of the next admission, and whether it is the end of a cooldown.
    ///
    /// One function, so that a check takes the lock once.
    pub(crate) fn readiness(&self, now: Instant) -> (Instant, bool) {
        if !self.is_busy() {
            return (now, false);
        }
        let mut state = self.lock();
        state.advance(now);
        let ready = match state.phase {
            Phase::Cooling { until } => return (until, true),
            Phase::Probing { sent: Some(sent) } => state.ready_after_probe(sent, now),
            Phase::Clear | Phase::Probing { sent: None } => now,
            Phase::Paced => state.rate.next(now),
        };
        (ready, false)
    }

    /// Returns the end of the present cooldown, if the endpoint cools.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.present(now).map(|cooldown| cooldown.until)
    }

    /// Returns the present cooldown, if the endpoint cools.
    pub(crate) fn present(&self, now: Instant) -> Option<PresentCooldown> {
        if !self.is_busy() {
            return None;
        }
        let state = self.lock();
        match state.phase {
            Phase::Cooling { until } if until > now => Some(PresentCooldown {
                until,
                trigger: state.trigger,
                bench: state.bench,
            }),
            _ => None,
        }
    }

    /// Returns the learned send rate of a limited endpoint, in attempts per second.
    pub(crate) fn rate(&self) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.known()
    }

    /// Returns the saved tokens of a limited endpoint, in seconds of its send rate.
    pub(crate) fn saved(&self, now: Instant) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.saved(now)
    }

    /// Returns the learned send rate in attempts per second, if a second measurement confirmed it.
    pub(crate) fn confirmed_rate(&self) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.confirmed()
    }

    /// Returns whether the last probe was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_busy() && self.lock().streak > 0
    }

    /// Returns the time after which a probe without a refusal counts as accepted, if the endpoint
    /// is limited.
    pub(crate) fn patience(&self) -> Option<Duration> {
        if !self.is_busy() {
            return None;
        }
        Some(self.lock().patience)
    }

    /// Begins a cooldown after a refusal. The hint sets its length. Without a hint, the length
    /// doubles with the streak. Returns the length, or `None` if the attempt is of an older
    /// generation.
    pub(crate) fn refused(
        &self,
        ticket: Ticket,
        refusal: Refusal,
        now: Instant,
    ) -> Option<Duration> {
        let Refusal {
            hint,
            took,
            seed,
            bench,
            trigger,
        } = refusal;
        let mut state = self.current(ticket)?;
        state.advance(now);
        let streak = state.streak_with(ticket);
        // A refused probe shows that a hint of zero is wrong, so it counts as no hint.
        let hint = hint.filter(|hint| !hint.is_zero() || streak == 0);
        let wait = hint.unwrap_or_else(|| {
            let factor = 2u32.saturating_pow(streak);
            let wait = FIRST_WITHOUT_HINT.saturating_mul(factor);
            wait.min(MAX_WITHOUT_HINT)
        });
        if let Some(took) = took {
            state.patience = took.saturating_mul(2).clamp(PATIENCE.0, PATIENCE.1);
        }
        state.streak = streak;
        // A refused probe came too early. It does not measure the send rate.
        if ticket.pass != Pass::Probe {
            state.rate.refused(now);
        }
        if let Some(seed) = seed {
            state.rate.seed(seed);
        }
        let wait = self.cool(&mut state, wait, trigger, now);
        state.bench = bench;
        Some(wait)
    }

    /// Begins a bench of the length that `wait` returns. The send rate learns nothing from it. If
    /// `wait` returns `None`, the attempt only releases its slot. If the attempt is of an older
    /// generation, `wait` is not called.
    pub(crate) fn cool_for(
        &self,
        ticket: Ticket,
        trigger: Trigger,
        now: Instant,
        wait: impl FnOnce() -> Option<Duration>,
    ) -> Option<Duration> {
        let mut state = self.current(ticket)?;
        let Some(wait) = wait() else {
            state.release(ticket);
            return None;
        };
        state.streak = state.streak_with(ticket);
        let wait = self.cool(&mut state, wait, trigger, now);
        state.bench = true;
        Some(wait)
    }

    /// Begins a cooldown after a success, because the response reported an exhausted limit.
    pub(crate) fn spent(&self, ticket: Ticket, wait: Duration, now: Instant) -> Option<Duration> {
        let mut state = self.current(ticket)?;
        state.streak = 0;
        Some(self.cool(&mut state, wait, Trigger::USED_UP, now))
    }

    /// Begins a cooldown by order, or replaces the present one. Returns its length.
    pub(crate) fn order(&self, wait: Duration, now: Instant) -> Duration {
        let mut state = self.lock();
        state.streak = 0;
        self.cool(&mut state, wait, Trigger::Order, now)
    }

    /// Ends the present cooldown, so that a probe is admissible at once.
    pub(crate) fn end(&self, now: Instant) {
        self.lock().end(now);
    }

    /// Returns whether this is the first success after a cooldown.
    pub(crate) fn succeeded(&self, ticket: Ticket, now: Instant) -> bool {
        if ticket.pass == Pass::Free {
            return false;
        }
        let Some(mut state) = self.current(ticket) else {
            return false;
        };
        state.streak = 0;
        if matches!(state.phase, Phase::Probing { .. }) {
            state.pace(now);
            self.publish(&state);
        }
        !std::mem::replace(&mut state.back, true)
    }

    /// Records that the caller cancelled an attempt, which is no verdict on the limit. A probe
    /// keeps its slot for the whole patience. Otherwise a series of cancelled requests would send
    /// probes without a bound.
    pub(crate) fn cancelled(&self, ticket: Ticket) {
        if ticket.pass != Pass::Probe {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.left |= state.is_probe(ticket);
        }
    }

    /// Releases the slot of an attempt without a verdict on the limit.
    pub(crate) fn released(&self, ticket: Ticket) {
        if ticket.pass != Pass::Probe {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.release(ticket);
        }
    }

    /// Releases the slot and the token of an attempt that was not sent.
    pub(crate) fn unsent(&self, ticket: Ticket) {
        if ticket.pass == Pass::Free {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.release(ticket);
            state.rate.unsend();
        }
    }

    /// Returns the locked state, if the attempt is of the current generation.
    fn current(&self, ticket: Ticket) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        (ticket.generation == state.generation).then_some(state)
    }

    /// Begins a cooldown and a new generation. Returns the length, which is at most
    /// [`MAX_COOLDOWN`].
    fn cool(&self, state: &mut State, wait: Duration, trigger: Trigger, now: Instant) -> Duration {
        let wait = wait.min(MAX_COOLDOWN);
        let until = saturating_add(now, wait);
        state.rate.pause(now, until);
        state.generation += 1;
        state.back = false;
        state.bench = false;
        state.trigger = trigger;
        state.phase = Phase::Cooling { until };
        self.publish(state);
        wait
    }

    /// Copies the generation and the phase to `word`, for readers without the lock.
    fn publish(&self, state: &State) {
        let busy = u64::from(state.phase != Phase::Clear);
        self.word
            .store(state.generation << 1 | busy, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can interrupt a change, so a poisoned state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Returns the instant of the admission.
    pub(crate) fn sent(self) -> Instant {
        self.sent
    }

    /// Returns the time since the admission.
    pub(crate) fn age(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.sent)
    }
}

impl State {
    /// Returns the earliest instant of the next admission while a probe is in flight.
    fn ready_after_probe(&mut self, sent: Instant, now: Instant) -> Instant {
        let known = saturating_add(sent, self.patience);
        if self.trusts_rate() {
            known.min(self.rate.next_at_rate(now))
        } else {
            known
        }
    }

    /// Admits an attempt, if the phase and the send rate allow it.
    fn admit(&mut self, now: Instant) -> Option<Pass> {
        self.advance(now);
        match self.phase {
            Phase::Clear => Some(Pass::Free),
            // At a confirmed send rate, few attempts besides the probe are at risk.
            Phase::Probing { sent: Some(_) } if self.trusts_rate() => {
                self.rate.try_send_at_rate(now).then_some(Pass::Paced)
            }
            Phase::Cooling { .. } | Phase::Probing { sent: Some(_) } => None,
            Phase::Probing { sent: None } => {
                self.phase = Phase::Probing { sent: Some(now) };
                self.left = false;
                self.rate.send(now);
                Some(Pass::Probe)
            }
            Phase::Paced => self.rate.try_send(now).then_some(Pass::Paced),
        }
    }

    /// Ends the present cooldown early. Returns whether the endpoint cooled.
    fn end(&mut self, now: Instant) -> bool {
        let cools = matches!(self.phase, Phase::Cooling { .. });
        if cools {
            self.phase = Phase::Probing { sent: None };
            self.rate.resume(now);
        }
        cools
    }

    /// Applies the transitions that depend only on time.
    fn advance(&mut self, now: Instant) {
        match self.phase {
            Phase::Cooling { until } if until <= now => {
                self.phase = Phase::Probing { sent: None };
            }
            Phase::Probing { sent: Some(sent) }
                if now.saturating_duration_since(sent) >= self.patience =>
            {
                if self.left {
                    self.phase = Phase::Probing { sent: None };
                } else {
                    self.pace(now);
                }
            }
            // The limit is not forgotten before a success: no attempt may have a response yet.
            Phase::Paced if self.back && self.rate.is_over(now) => {
                self.phase = Phase::Clear;
                self.rate = Rate::new(now);
            }
            _ => {}
        }
    }

    /// Returns whether the streak is zero and the send rate is confirmed.
    fn trusts_rate(&self) -> bool {
        self.streak == 0 && self.rate.confirmed().is_some()
    }

    /// Enters the phase `Paced`.
    fn pace(&mut self, now: Instant) {
        self.phase = Phase::Paced;
        self.advance(now);
    }

    /// Frees the slot, if the attempt is the present probe.
    fn release(&mut self, ticket: Ticket) {
        if self.is_probe(ticket) {
            self.phase = Phase::Probing { sent: None };
        }
    }

    /// Returns whether an attempt is the present probe.
    fn is_probe(&self, ticket: Ticket) -> bool {
        let sent = Some(ticket.sent);
        ticket.pass == Pass::Probe && self.phase == Phase::Probing { sent }
    }

    /// Returns the streak, including the refusal of this attempt.
    fn streak_with(&self, ticket: Ticket) -> u32 {
        match ticket.pass {
            Pass::Probe => self.streak.saturating_add(1),
            Pass::Free | Pass::Paced => 0,
        }
    }
}

#[cfg(feature = "health")]
pub(crate) mod bench;
#[cfg(test)]
mod tests;
