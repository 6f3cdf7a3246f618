//! When a limited endpoint is left alone, and how it comes back.
//!
//! ```text
//!            a refusal                 the time has passed
//!   Clear ──────────────▶ Cooling ─────────────────────────▶ Ramping
//!     ▲                      ▲                                  │ │
//!     │                      └──────────── a refusal ───────────┘ │
//!     └───────────────── enough attempts succeeded ───────────────┘
//! ```
//!
//! Each cooldown begins a generation, and only attempts of the current one move the state: of a
//! burst of refusals the first one counts, and an older answer neither lengthens nor shortens
//! what a newer one began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::saturating_add;
use tokio::time::Instant;

/// The longest cooldown, whatever a server asks for.
pub(crate) const MAX_COOLDOWN: Duration = Duration::from_secs(86_400);
/// The cooldown after the first refusal without a hint. It doubles with each further one.
const FIRST_WITHOUT_HINT: Duration = Duration::from_secs(1);
/// The longest cooldown that no hint asked for.
const MAX_WITHOUT_HINT: Duration = Duration::from_secs(60);
/// A ramp that admits so many attempts at a time is over.
const FULL: u32 = 16;
/// Refusals come fast, so an attempt that has none after this time was accepted. A full ramp then
/// admits another one: an answer may take minutes, and one that hangs would shut the ramp for good.
const PATIENCE: Duration = Duration::from_secs(5);

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
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Clear,
    Cooling { until: Instant },
    Ramping(Ramp),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ramp {
    limit: u32,
    in_flight: u32,
    /// When the last attempt was admitted.
    last: Instant,
}

/// Shows that an attempt was admitted, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    generation: u64,
    ramp: bool,
}

impl Cooldown {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            state: Mutex::new(State {
                phase: Phase::Clear,
                generation: 0,
                streak: 0,
            }),
        }
    }

    /// Admits an attempt, unless the endpoint cools or its ramp is full.
    pub(crate) fn try_admit(&self, now: Instant) -> Option<Ticket> {
        let word = self.word.load(Ordering::Acquire);
        if word & 1 == 0 {
            return Some(Ticket {
                generation: word >> 1,
                ramp: false,
            });
        }
        let mut state = self.lock();
        let ramp = match &mut state.phase {
            Phase::Clear => false,
            Phase::Cooling { until } if *until > now => return None,
            phase @ Phase::Cooling { .. } => {
                *phase = Phase::Ramping(Ramp {
                    limit: 1,
                    in_flight: 1,
                    last: now,
                });
                true
            }
            Phase::Ramping(ramp) => {
                if ramp.is_full(now) {
                    return None;
                }
                ramp.in_flight = ramp.in_flight.saturating_add(1);
                ramp.last = now;
                true
            }
        };
        Some(Ticket {
            generation: state.generation,
            ramp,
        })
    }

    /// Returns whether an attempt would be admitted.
    pub(crate) fn would_admit(&self, now: Instant) -> bool {
        if self.word.load(Ordering::Acquire) & 1 == 0 {
            return true;
        }
        match self.lock().phase {
            Phase::Clear => true,
            Phase::Cooling { until } => until <= now,
            Phase::Ramping(ramp) => !ramp.is_full(now),
        }
    }

    /// Returns until when the endpoint cools, if it does.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        if self.word.load(Ordering::Acquire) & 1 == 0 {
            return None;
        }
        match self.lock().phase {
            Phase::Cooling { until } if until > now => Some(until),
            _ => None,
        }
    }

    /// Begins a cooldown because an attempt was refused, for as long as the hint says. Returns
    /// how long it lasts, or nothing if the attempt is of an older generation.
    pub(crate) fn refused(
        &self,
        ticket: Ticket,
        hint: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        self.cool_for(ticket, now, |streak| {
            hint.or_else(|| {
                let factor = 2u32.saturating_pow(streak);
                let wait = FIRST_WITHOUT_HINT.saturating_mul(factor);
                Some(wait.min(MAX_WITHOUT_HINT))
            })
        })
    }

    /// Begins a cooldown for as long as `wait` says, which is given the refusals in a row. If it
    /// says nothing the attempt only gives back its place. Not asked about an older generation.
    pub(crate) fn cool_for(
        &self,
        ticket: Ticket,
        now: Instant,
        wait: impl FnOnce(u32) -> Option<Duration>,
    ) -> Option<Duration> {
        let mut state = self.lock();
        if ticket.generation != state.generation {
            return None;
        }
        let streak = if ticket.ramp {
            state.streak.saturating_add(1)
        } else {
            0
        };
        let Some(wait) = wait(streak) else {
            if ticket.ramp {
                state.release();
            }
            return None;
        };
        state.streak = streak;
        Some(self.cool(&mut state, wait, now))
    }

    /// Begins a cooldown although the attempt succeeded: its answer said that nothing remains.
    pub(crate) fn spent(&self, ticket: Ticket, wait: Duration, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        if ticket.generation != state.generation {
            return None;
        }
        state.streak = 0;
        Some(self.cool(&mut state, wait, now))
    }

    /// Widens the ramp. Returns whether the endpoint takes all its requests again.
    pub(crate) fn succeeded(&self, ticket: Ticket) -> bool {
        let Some(mut state) = self.ramping(ticket) else {
            return false;
        };
        state.release();
        let Phase::Ramping(ramp) = &mut state.phase else {
            return false;
        };
        ramp.limit = ramp.limit.saturating_mul(2);
        if ramp.limit < FULL {
            return false;
        }
        state.phase = Phase::Clear;
        state.streak = 0;
        self.publish(&state);
        true
    }

    /// Gives back the place of an attempt that says nothing about the limit.
    pub(crate) fn released(&self, ticket: Ticket) {
        if let Some(mut state) = self.ramping(ticket) {
            state.release();
        }
    }

    /// The state, if the attempt is part of the current ramp.
    fn ramping(&self, ticket: Ticket) -> Option<MutexGuard<'_, State>> {
        if !ticket.ramp {
            return None;
        }
        let state = self.lock();
        (ticket.generation == state.generation).then_some(state)
    }

    fn cool(&self, state: &mut State, wait: Duration, now: Instant) -> Duration {
        let wait = wait.min(MAX_COOLDOWN);
        state.generation += 1;
        state.phase = Phase::Cooling {
            until: saturating_add(now, wait),
        };
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

impl State {
    fn release(&mut self) {
        if let Phase::Ramping(ramp) = &mut self.phase {
            ramp.in_flight = ramp.in_flight.saturating_sub(1);
        }
    }
}

impl Ramp {
    fn is_full(&self, now: Instant) -> bool {
        self.in_flight >= self.limit && now.saturating_duration_since(self.last) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn admit(cooldown: &Cooldown, now: Instant) -> Ticket {
        assert!(cooldown.would_admit(now));
        cooldown.try_admit(now).expect("admitted")
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_cools_once() {
        let now = Instant::now();
        let cooldown = Cooldown::new();
        let burst = [(); 5].map(|()| admit(&cooldown, now));

        assert_eq!(cooldown.refused(burst[0], Some(SECOND), now), Some(SECOND));
        for ticket in &burst[1..] {
            assert_eq!(cooldown.refused(*ticket, Some(60 * SECOND), now), None);
        }
        assert_eq!(cooldown.until(now), Some(now + SECOND));
        assert!(cooldown.try_admit(now).is_none());
        assert!(!cooldown.would_admit(now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_success_does_not_shorten_it() {
        let now = Instant::now();
        let cooldown = Cooldown::new();
        let (older, refused) = (admit(&cooldown, now), admit(&cooldown, now));
        cooldown.refused(refused, Some(SECOND), now);
        assert!(!cooldown.succeeded(older));
        assert_eq!(cooldown.spent(older, 9 * SECOND, now), None);
        assert!(cooldown.try_admit(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn ends_in_a_ramp() {
        let start = Instant::now();
        let cooldown = Cooldown::new();
        cooldown.refused(admit(&cooldown, start), Some(SECOND), start);
        let now = start + SECOND;

        for limit in [1, 2, 4, 8] {
            let tickets: Vec<_> = std::iter::from_fn(|| cooldown.try_admit(now)).collect();
            assert_eq!(tickets.len(), limit);
            assert!(!cooldown.would_admit(now));
            for ticket in &tickets[1..] {
                cooldown.released(*ticket);
            }
            assert_eq!(cooldown.succeeded(tickets[0]), limit == 8);
        }
        assert!(!admit(&cooldown, now).ramp);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_in_the_ramp_comes_back() {
        let start = Instant::now();
        let cooldown = Cooldown::new();
        cooldown.refused(admit(&cooldown, start), Some(SECOND), start);
        let now = start + SECOND;

        let probe = admit(&cooldown, now);
        assert!(cooldown.try_admit(now).is_none());
        cooldown.released(probe);
        assert!(cooldown.try_admit(now).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_of_an_older_ramp_has_no_place_in_a_newer_one() {
        let start = Instant::now();
        let cooldown = Cooldown::new();
        cooldown.refused(admit(&cooldown, start), Some(SECOND), start);
        let older = admit(&cooldown, start + SECOND);
        // It runs on while the next one is refused.
        let now = start + SECOND + PATIENCE;
        cooldown.refused(admit(&cooldown, now), Some(SECOND), now);
        let now = now + SECOND;
        admit(&cooldown, now);

        cooldown.released(older);
        assert!(cooldown.try_admit(now).is_none());
        cooldown.succeeded(older);
        assert!(cooldown.try_admit(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_ramp_admits_another_attempt_after_a_while() {
        let start = Instant::now();
        let cooldown = Cooldown::new();
        cooldown.refused(admit(&cooldown, start), Some(SECOND), start);
        let mut now = start + SECOND;

        for _ in 0..3 {
            admit(&cooldown, now);
            now += PATIENCE - Duration::from_nanos(1);
            assert!(cooldown.try_admit(now).is_none() && !cooldown.would_admit(now));
            now += Duration::from_nanos(1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_means_nothing_gives_back_its_place() {
        let start = Instant::now();
        let cooldown = Cooldown::new();
        cooldown.refused(admit(&cooldown, start), Some(SECOND), start);
        let now = start + SECOND;

        let probe = admit(&cooldown, now);
        assert_eq!(cooldown.cool_for(probe, now, |_| None), None);
        let probe = admit(&cooldown, now);
        assert_eq!(cooldown.refused(probe, None, now), Some(2 * SECOND));
        let asked = |_| -> Option<Duration> { panic!("asked about an older generation") };
        assert_eq!(cooldown.cool_for(probe, now, asked), None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_hint_it_grows_only_when_the_attempt_after_it_is_refused() {
        let mut now = Instant::now();
        let cooldown = Cooldown::new();
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let ticket = admit(&cooldown, now);
            let wait = cooldown.refused(ticket, None, now);
            assert_eq!(wait, Some(expected * SECOND));
            now += expected * SECOND;
        }
        for _ in 0..4 {
            cooldown.succeeded(admit(&cooldown, now));
        }
        let wait = cooldown.refused(admit(&cooldown, now), None, now);
        assert_eq!(wait, Some(SECOND), "it had recovered");
    }

    #[tokio::test(start_paused = true)]
    async fn no_server_takes_itself_out_for_ever() {
        let now = Instant::now();
        let cooldown = Cooldown::new();
        let wait = cooldown.refused(admit(&cooldown, now), Some(Duration::MAX), now);
        assert_eq!(wait, Some(MAX_COOLDOWN));
    }
}
