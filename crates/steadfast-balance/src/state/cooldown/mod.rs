//! When a limited endpoint is left alone, and how it comes back.
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
//! Each cooldown begins a generation, and only attempts of the current one move the state: of a
//! burst of refusals the first one counts, and an older answer neither lengthens nor shortens
//! what a newer one began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::state::rate::Rate;

/// The longest cooldown, whatever a server asks for.
pub(crate) const MAX_COOLDOWN: Duration = Duration::from_secs(86_400);
/// The cooldown after the first refusal without a hint. It doubles with each further one.
const FIRST_WITHOUT_HINT: Duration = Duration::from_secs(1);
/// The longest cooldown that no hint asked for.
const MAX_WITHOUT_HINT: Duration = Duration::from_secs(60);
/// Refusals come fast: a probe that has none after twice the time that the last refusal took was
/// accepted, whenever its answer comes. These are the bounds of that time.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

#[derive(Debug)]
pub(crate) struct Cooldown {
    /// The generation, and in the lowest bit whether the state is anything but `Clear`: all that
    /// a healthy request reads.
    word: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    generation: u64,
    /// Refusals in a row of attempts that came right after a cooldown.
    streak: u32,
    /// Whether an attempt of this generation has succeeded.
    back: bool,
    /// Whether the caller of the present probe has left.
    left: bool,
    /// Whether the last cooldown is a bench: for a reason that time alone may not end.
    bench: bool,
    patience: Duration,
    rate: Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Clear,
    Cooling {
        until: Instant,
    },
    /// One attempt at a time, the last of which was sent at this instant unless it gave its place
    /// back.
    Probing {
        sent: Option<Instant>,
    },
    Paced,
}

/// Shows that an attempt was admitted, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u64,
    pass: Pass,
    sent: Instant,
}

/// What an endpoint said when it refused an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) hint: Option<Duration>,
    /// How long it needed for that, if it was its answer.
    pub(crate) took: Option<Duration>,
    /// The attempts a second that its headers allow.
    pub(crate) seed: Option<f64>,
    /// Whether it was for a quota that is spent.
    pub(crate) bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Nothing was known of a limit.
    Free,
    /// By the learned rate.
    Paced,
    /// As the first one after a cooldown.
    Probe,
}

impl Cooldown {
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
                patience: PATIENCE.0,
                rate: Rate::new(Instant::now()),
            }),
        }
    }

    /// Admits an attempt, unless the endpoint cools, is being probed, or has had all that its rate
    /// allows.
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

    fn try_admit_limited(&self, now: Instant) -> Option<(u64, Pass)> {
        let mut state = self.lock();
        let pass = state.admit(now);
        self.publish(&state);
        Some((state.generation, pass?))
    }

    /// Whether the state is anything but `Clear`.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.word.load(Ordering::Acquire) & 1 == 1
    }

    /// Returns whether an attempt would be admitted.
    #[inline]
    pub(crate) fn would_admit(&self, now: Instant) -> bool {
        !self.is_busy() || self.ready_at(now) <= now
    }

    /// Returns when the next attempt would be admitted, which may be now.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        if !self.is_busy() {
            return now;
        }
        let mut state = self.lock();
        state.advance(now);
        match state.phase {
            Phase::Cooling { until } => until.max(now),
            Phase::Probing { sent: Some(sent) } => state.ready_after_probe(sent, now),
            Phase::Clear | Phase::Probing { sent: None } => now,
            Phase::Paced => state.rate.next(now),
        }
    }

    /// Returns until when the endpoint cools, if it does.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        if !self.is_busy() {
            return None;
        }
        match self.lock().phase {
            Phase::Cooling { until } if until > now => Some(until),
            _ => None,
        }
    }

    /// Returns the attempts a second that a limited endpoint was seen to take.
    pub(crate) fn rate(&self) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.known()
    }

    /// Returns for how many seconds of its rate a limited endpoint could be sent to at once.
    pub(crate) fn saved(&self, now: Instant) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.saved(now)
    }

    /// Returns the same if it was found more than once.
    pub(crate) fn confirmed_rate(&self) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.confirmed()
    }

    /// Returns how long it takes until an attempt has not been refused, if the endpoint is limited.
    pub(crate) fn patience(&self) -> Option<Duration> {
        if !self.is_busy() {
            return None;
        }
        Some(self.lock().patience)
    }

    /// Begins a cooldown because an attempt was refused, for as long as the hint says. Returns how
    /// long the cooldown lasts, or nothing if the attempt is of an older generation.
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
        } = refusal;
        let mut state = self.current(ticket)?;
        state.advance(now);
        let streak = state.streak_with(ticket);
        // Who says that it may be asked at once, and refuses that, has given no hint.
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
        // A probe says that it is too early, and nothing about the rate.
        if ticket.pass != Pass::Probe {
            state.rate.refused(now);
        }
        if let Some(seed) = seed {
            state.rate.seed(seed);
        }
        let wait = self.cool(&mut state, wait, now);
        state.bench = bench;
        Some(wait)
    }

    /// Begins a bench for as long as `wait` says, for a reason that says nothing about a rate. If it
    /// says nothing the attempt only gives back its place. Not asked about an older generation.
    pub(crate) fn cool_for(
        &self,
        ticket: Ticket,
        now: Instant,
        wait: impl FnOnce() -> Option<Duration>,
    ) -> Option<Duration> {
        let mut state = self.current(ticket)?;
        let Some(wait) = wait() else {
            state.release(ticket);
            return None;
        };
        state.streak = state.streak_with(ticket);
        let wait = self.cool(&mut state, wait, now);
        state.bench = true;
        Some(wait)
    }

    /// Begins a cooldown although the attempt succeeded: its answer said that nothing remains.
    pub(crate) fn spent(&self, ticket: Ticket, wait: Duration, now: Instant) -> Option<Duration> {
        let mut state = self.current(ticket)?;
        state.streak = 0;
        Some(self.cool(&mut state, wait, now))
    }

    /// Begins a cooldown because somebody says so, or makes the present one longer or shorter.
    pub(crate) fn order(&self, wait: Duration, now: Instant) -> Duration {
        let mut state = self.lock();
        state.streak = 0;
        self.cool(&mut state, wait, now)
    }

    /// Ends a cooldown: an attempt may be made at once.
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

    /// Notes that the caller of an attempt has left, which says nothing about the limit. A probe
    /// that was sent keeps its place until it would have been refused: with callers who leave one
    /// after the other there would be no end to them.
    pub(crate) fn cancelled(&self, ticket: Ticket) {
        if ticket.pass != Pass::Probe {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.left |= state.is_probe(ticket);
        }
    }

    /// Gives back the place of an attempt that says nothing about the limit.
    pub(crate) fn released(&self, ticket: Ticket) {
        if ticket.pass != Pass::Probe {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.release(ticket);
        }
    }

    /// Gives back all that an attempt took which was not sent.
    pub(crate) fn unsent(&self, ticket: Ticket) {
        if ticket.pass == Pass::Free {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.release(ticket);
            state.rate.unsend();
        }
    }

    /// The state, if the attempt is of the current generation.
    fn current(&self, ticket: Ticket) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        (ticket.generation == state.generation).then_some(state)
    }

    fn cool(&self, state: &mut State, wait: Duration, now: Instant) -> Duration {
        let wait = wait.min(MAX_COOLDOWN);
        let until = saturating_add(now, wait);
        state.rate.pause(now, until);
        state.generation += 1;
        state.back = false;
        state.bench = false;
        state.phase = Phase::Cooling { until };
        self.publish(state);
        wait
    }

    fn publish(&self, state: &State) {
        let busy = u64::from(state.phase != Phase::Clear);
        self.word
            .store(state.generation << 1 | busy, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(crate) fn sent(self) -> Instant {
        self.sent
    }

    /// Returns how long ago the attempt was sent.
    pub(crate) fn age(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.sent)
    }
}

impl State {
    /// Returns when the next attempt is admitted while a probe is in flight.
    fn ready_after_probe(&mut self, sent: Instant, now: Instant) -> Instant {
        let known = saturating_add(sent, self.patience);
        if self.trusts_rate() {
            known.min(self.rate.next_at_rate(now))
        } else {
            known
        }
    }

    fn admit(&mut self, now: Instant) -> Option<Pass> {
        self.advance(now);
        match self.phase {
            Phase::Clear => Some(Pass::Free),
            // At the learned rate, hardly more attempts than the probe are at risk.
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

    /// Ends a cooldown early. Returns whether there was one.
    fn end(&mut self, now: Instant) -> bool {
        let cools = matches!(self.phase, Phase::Cooling { .. });
        if cools {
            self.phase = Phase::Probing { sent: None };
            self.rate.resume(now);
        }
        cools
    }

    /// Does what only takes time.
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
            // Not before an attempt has succeeded: there may be none that was answered yet.
            Phase::Paced if self.back && self.rate.is_over(now) => {
                self.phase = Phase::Clear;
                self.rate = Rate::new(now);
            }
            _ => {}
        }
    }

    /// Whether the last cooldown ended as expected, and the rate is sure.
    fn trusts_rate(&self) -> bool {
        self.streak == 0 && self.rate.confirmed().is_some()
    }

    fn pace(&mut self, now: Instant) {
        self.phase = Phase::Paced;
        self.advance(now);
    }

    fn release(&mut self, ticket: Ticket) {
        if self.is_probe(ticket) {
            self.phase = Phase::Probing { sent: None };
        }
    }

    /// Whether an attempt is the present probe.
    fn is_probe(&self, ticket: Ticket) -> bool {
        let sent = Some(ticket.sent);
        ticket.pass == Pass::Probe && self.phase == Phase::Probing { sent }
    }

    /// The refusals in a row, with that of this attempt.
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
