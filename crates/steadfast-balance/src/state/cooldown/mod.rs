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
//!
//! A refusal for a rate limit is a hypothesis. If the [`evidence`] contradicts it, no cooldown
//! begins. A cooldown that has begun ends with the first contradiction. Without any evidence, the
//! first refusal leads to `Probing` at once, so that the next attempt is the test. At a known send
//! rate a refusal is expected: it only lowers the rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use self::accused::Sender;
use self::crowd::Crowd;
use self::doubt::Tests;
use self::early::Early;
use self::evidence::Evidence;
#[cfg(feature = "health")]
use crate::state::bench::Checks;
use crate::state::bench::Escalation;
use crate::state::millis::millis;
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

/// The longest hint with which a refusal of a known rate only lowers the rate. Such a hint is a
/// rounded one, and the rate is more precise.
const ROUNDED: Duration = Duration::from_secs(1);
/// The bit of the word for a phase other than `Clear`.
const BUSY: u64 = 1;
/// The bit of the word for open tests.
const TESTED: u64 = 2;
/// The bit of the word for an accused caller.
const ACCUSED: u64 = 4;
/// The bits of the word below the generation.
const FLAG_BITS: u32 = 3;

/// The cooldown state of one endpoint.
#[derive(Debug)]
pub(crate) struct Cooldown {
    /// The generation, and in the lowest bits [`BUSY`], [`TESTED`] and [`ACCUSED`]. An attempt on
    /// an endpoint without a limit reads only this word.
    word: AtomicU64,
    /// The end of the present cooldown in nanoseconds since `origin`, or 0 without one. A check of
    /// a cooling endpoint takes no lock: 40 instructions in place of 110.
    cools_until: AtomicU64,
    /// When the newest attempt with a success was sent, in whole milliseconds since `origin`.
    newest_success: AtomicU64,
    origin: Instant,
    /// The age of the pool at `origin`.
    born: Duration,
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
    /// The requests that were turned away during the streak.
    crowd: Crowd,
    /// Whether an attempt of this generation has succeeded.
    back: bool,
    /// Whether the caller of the present probe has cancelled it.
    left: bool,
    /// Whether the last cooldown is a bench.
    bench: bool,
    /// The benches since the last success.
    escalation: Escalation,
    /// When the refused attempt of the present bench was sent, if only one request supports the
    /// bench. A success of a later attempt contradicts it.
    refutable: Option<Instant>,
    /// The newest success, in milliseconds, and the number of refusals since then that concerned
    /// only their own requests.
    excused: (u64, u32),
    /// The health checks of the benches.
    #[cfg(feature = "health")]
    checks: Checks,
    /// Whether a contradiction ends the last cooldown.
    provisional: bool,
    /// The instant of the last refusal that only lowered the rate.
    lowered: Instant,
    /// When the next recovery probe is due, if the last cooldown is long.
    probe_due: Option<Instant>,
    /// Whether the last cooldown is in doubt: requests of one caller may have caused it.
    doubtful: bool,
    /// Whether only the accused caller was refused since the last cooldown began. The caller that
    /// was refused before it may be unknown.
    is_of_accused: bool,
    /// The tests by requests without another endpoint.
    tests: Tests,
    /// Whether the hint of the last cooldown is a rounded one. Early attempts test it.
    rounded: bool,
    /// The attempts before the send rate allows them.
    early: Early,
    /// The tests of the refusals.
    evidence: Evidence,
    /// Whether the endpoint has a send rate.
    learns: bool,
    /// Whether all requests have the credential of one caller.
    of_one_caller: bool,
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
    sender: Sender,
}

/// The number of different generations. A [`Stub`] holds one of them beside the pass.
const GENERATIONS: u64 = 1 << (u32::BITS - PASS_BITS);
/// The bits of a [`Stub`] for the pass.
const PASS_BITS: u32 = 3;

/// A ticket without its instant, which the tickets of one attempt share. It is small, because it
/// moves with the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stub(u32);

/// The details of a refusal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal {
    /// The hint for the length of the cooldown.
    pub(crate) hint: Option<Duration>,
    /// The response time of the refusal, if the refusal was the response to the attempt.
    pub(crate) took: Option<Duration>,
    /// The send rate that the response headers allow, in attempts per second.
    pub(crate) seed: Option<f64>,
    /// The usual time of an answer.
    pub(crate) usual: Duration,
    /// Whether the outcomes of other attempts can contradict the refusal.
    pub(crate) testable: bool,
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
    /// As a test during a long cooldown.
    Recovery,
    /// Before the send rate or a rounded hint allows it.
    Early,
    /// As a test of a limit that only the refusals of another caller support.
    OfCaller,
}

impl Cooldown {
    /// Creates the state of an endpoint without a known limit.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            word: AtomicU64::new(0),
            cools_until: AtomicU64::new(0),
            newest_success: AtomicU64::new(0),
            origin: now,
            born: Duration::ZERO,
            state: Mutex::new(State::new(now)),
        }
    }

    /// Sets the start of the pool, to which the ages of attempts are relative.
    pub(crate) fn in_pool_since(mut self, start: Instant) -> Self {
        self.born = self.origin.saturating_duration_since(start);
        self
    }

    /// Disables the send rate. After a cooldown, one accepted probe ends the limit.
    pub(crate) fn without_rate(self) -> Self {
        self.lock().learns = false;
        self
    }

    /// Marks the requests as the ones with the credential of one caller.
    pub(crate) fn of_one_caller(self) -> Self {
        self.lock().of_one_caller = true;
        self
    }

    /// Admits an attempt. Returns `None` if the endpoint cools, a probe is in flight, or the send
    /// rate is used up.
    #[inline]
    pub(crate) fn try_admit(&self, now: Instant) -> Option<Ticket> {
        let word = self.word.load(Ordering::Acquire);
        let (generation, pass) = match word & BUSY {
            0 => (word >> FLAG_BITS, Pass::Free),
            _ => self.try_admit_limited(now)?,
        };
        Some(Ticket {
            generation,
            pass,
            sent: now,
            sender: Sender::default(),
        })
    }

    /// Admits an attempt under the lock, because a limit is known.
    fn try_admit_limited(&self, now: Instant) -> Option<(u64, Pass)> {
        let mut state = self.lock();
        let pass = state.admit(now);
        self.publish(&state);
        Some((state.generation, pass?))
    }

    /// Admits an attempt although the send rate or a rounded hint does not allow it yet. Returns
    /// `None` if no refusal can be risked now. The request came at `since`.
    pub(crate) fn try_admit_early(&self, since: Instant, now: Instant) -> Option<Ticket> {
        if let Some(ticket) = self.try_admit(now) {
            return Some(ticket);
        }
        let mut state = self.lock();
        state.admit_early(since, now).then(|| Ticket {
            generation: state.generation,
            pass: Pass::Early,
            sent: now,
            sender: Sender::default(),
        })
    }

    /// Returns whether the phase is other than `Clear`.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.word.load(Ordering::Acquire) & BUSY != 0
    }

    /// Returns whether the caller of the next attempt matters: a limit or a test is known.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.word.load(Ordering::Acquire) & (BUSY | TESTED) != 0
    }

    /// Returns whether an attempt would be admitted.
    #[inline]
    pub(crate) fn would_admit(&self, now: Instant) -> bool {
        !self.is_busy() || self.ready_at(now) <= now
    }

    /// Returns the earliest instant of the next admission, which may be `now`. Early attempts do
    /// not count.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        if !self.is_busy() {
            return now;
        }
        (self.cools_until(now)).unwrap_or_else(|| self.lock().ready_at(now).0)
    }

    /// Returns the end of the present cooldown without the lock, if the endpoint cools.
    #[inline]
    pub(crate) fn cools_until(&self, now: Instant) -> Option<Instant> {
        let until = Duration::from_nanos(self.cools_until.load(Ordering::Acquire));
        self.origin.checked_add(until).filter(|until| *until > now)
    }

    /// Returns the earliest instant of the next attempt, which may be an early one if the request
    /// hurries since its arrival. Also returns whether it is the end of a cooldown.
    ///
    /// One function, so that a check takes the lock once.
    pub(crate) fn readiness(&self, hurries: Option<Instant>, now: Instant) -> (Instant, bool) {
        if !self.is_busy() {
            return (now, false);
        }
        let until = self.cools_until(now).filter(|_| hurries.is_none());
        if let Some(until) = until {
            return (until, true);
        }
        let mut state = self.lock();
        let (ready, cools) = state.ready_at(now);
        match hurries.and_then(|since| state.early_at(since)) {
            Some(early) if early < ready => (early.max(now), false),
            _ => (ready, cools),
        }
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

    /// Returns the share of its send rate that recent attempts at a limited endpoint have used.
    pub(crate) fn used(&self, now: Instant) -> Option<f64> {
        if !self.is_busy() {
            return None;
        }
        self.lock().rate.used(now)
    }

    /// Returns whether the endpoint has a send rate that has not reduced its refusals yet, or that
    /// follows a futile one, and no sign of an overload.
    pub(crate) fn is_rate_doubted(&self) -> bool {
        if !self.is_busy() {
            return false;
        }
        let state = self.lock();
        let is_doubted = match state.rate.known() {
            Some(_) => state.rate.is_unproven(),
            None => state.phase == Phase::Paced && state.evidence.tolerates_share(),
        };
        is_doubted && !state.evidence.suggests_overload()
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

    /// Records that the limit refused a request, or that a request was rejected for it.
    pub(crate) fn turn_away(&self, request: usize) {
        if self.is_busy() {
            self.lock().crowd.turn_away(request);
        }
    }

    /// Returns the number of hints that were followed in vain since the last success. Zero for a
    /// lone request, because its own refusals show nothing about the wait that it has not tried.
    pub(crate) fn vain_hints(&self) -> u32 {
        if !self.is_busy() {
            return 0;
        }
        let state = self.lock();
        if state.crowd.is_several() {
            state.streak
        } else {
            0
        }
    }

    /// Returns the time after which a probe without a refusal counts as accepted, if the endpoint
    /// is limited.
    pub(crate) fn patience(&self) -> Option<Duration> {
        if !self.is_busy() {
            return None;
        }
        Some(self.lock().patience)
    }

    /// Begins a cooldown after a refusal, unless the evidence contradicts it. The hint sets its
    /// length. Without a hint, the length doubles with the streak.
    ///
    /// Returns the length, or `None` if no cooldown begins: the refusal concerns only its own
    /// request, it only lowers the send rate, or the attempt is of an older generation.
    pub(crate) fn refused(
        &self,
        ticket: Ticket,
        refusal: Refusal,
        now: Instant,
    ) -> Option<Duration> {
        let mut state = self.lock();
        let times = (ticket.sent, refusal.usual);
        let accused = state.evidence.accused();
        if refusal.testable {
            if state.evidence.is_excused(ticket.sender, times, now) {
                self.excuse(&mut state, ticket, now);
                return None;
            }
            state.note_other(ticket, accused, now);
            self.publish(&state);
        }
        if ticket.is_test() {
            if ticket.generation == state.generation {
                if refusal.testable && !state.bench && state.rate.known().is_none() {
                    self.test(&mut state, ticket, refusal, now);
                }
                state.recovery_limited(refusal.hint, now);
                self.publish(&state);
            }
            return None;
        }
        // A longer hint is more than a rounded one, and holds.
        let is_short = refusal.hint.unwrap_or(ROUNDED) <= ROUNDED;
        if ticket.pass == Pass::Early && refusal.testable && is_short {
            if ticket.generation == state.generation {
                state.refuse_early(refusal.took, now);
            }
            return None;
        }
        if refusal.testable && state.rate.known().is_none() {
            self.test(&mut state, ticket, refusal, now);
        }
        let is_unknown = state.rate.known().is_none() && state.evidence.is_empty();
        let wait = (ticket.generation == state.generation)
            .then(|| state.take_refusal(ticket, refusal, now))
            .flatten();
        let Some(wait) = wait else {
            self.publish(&state);
            return None;
        };
        let is_tested = refusal.testable && ticket.pass != Pass::Probe;
        let begins_test = is_tested && is_short && is_unknown && self.has_served();
        let cooled = if begins_test {
            self.begin_test(&mut state, refusal.trigger, now);
            None
        } else {
            Some(self.cool(&mut state, wait, refusal.trigger, now))
        };
        // The end of a cooldown without a hint is a guess.
        let is_guess = refusal.testable && refusal.hint.is_none_or(|hint| hint.is_zero());
        state.doubtful = (is_guess || begins_test) && !state.of_one_caller;
        if refusal.testable {
            state.note_accused(ticket, now);
        }
        state.provisional = is_tested;
        state.rounded = is_tested && is_short && state.rate.is_measured();
        state.hold_early(refusal.took, now);
        cooled
    }

    /// Releases an attempt that was refused because of its caller.
    fn excuse(&self, state: &mut State, ticket: Ticket, now: Instant) {
        if ticket.generation == state.generation {
            // A test counts, so that the accused caller does not test without a bound.
            if !ticket.is_test() {
                state.release(ticket);
            }
            state.refused_in_spite_of_rate(ticket, now);
            if state.evidence.is_only_of_accused(now) {
                state.end_limit_of_accused(now);
            }
        }
        self.publish(state);
    }

    /// Returns when the newest attempt with a success was sent, in milliseconds, or 0 without one.
    fn newest_success(&self) -> u64 {
        self.newest_success.load(Ordering::Relaxed)
    }

    /// Returns whether an attempt has ever succeeded.
    fn has_served(&self) -> bool {
        self.newest_success() > 0
    }

    /// Lets the next attempt test a refusal, because nothing is known about it.
    fn begin_test(&self, state: &mut State, trigger: Trigger, now: Instant) {
        self.cool(state, Duration::ZERO, trigger, now);
        // No event reports a beginning, so none reports an end.
        state.back = true;
    }

    /// Records a refusal as a test of earlier ones, and begins to test its own claim.
    fn test(&self, state: &mut State, ticket: Ticket, refusal: Refusal, now: Instant) {
        let was_open = state.evidence.is_open();
        let claim = refusal.hint.unwrap_or(FIRST_WITHOUT_HINT);
        state.evidence.refused(ticket.sent, claim, now);
        // While tests are open, each success is recorded on its own.
        if !was_open && self.has_served() {
            let newest = Duration::from_millis(self.newest_success.load(Ordering::Relaxed));
            let newest = saturating_add(self.origin, newest);
            if newest > ticket.sent {
                state.evidence.served(newest, now);
            }
        }
    }

    /// Begins a cooldown after a success, because the response reported an exhausted limit.
    pub(crate) fn spent(&self, ticket: Ticket, wait: Duration, now: Instant) -> Option<Duration> {
        let mut state = self.current(ticket)?;
        state.set_streak(0);
        Some(self.cool(&mut state, wait, Trigger::USED_UP, now))
    }

    /// Begins a cooldown by order, or replaces the present one. Returns its length.
    pub(crate) fn order(&self, wait: Duration, now: Instant) -> Duration {
        let mut state = self.lock();
        state.set_streak(0);
        let wait = self.cool(&mut state, wait, Trigger::Order, now);
        // An order holds until its end.
        state.probe_due = None;
        wait
    }

    /// Ends the present cooldown, so that a probe is admissible at once.
    pub(crate) fn end(&self, now: Instant) {
        let mut state = self.lock();
        state.end(now);
        self.publish(&state);
    }

    /// Ends the present cooldown and its escalation by order, so that a probe is admissible at
    /// once.
    pub(crate) fn restore(&self, now: Instant) {
        let mut state = self.lock();
        state.set_streak(0);
        state.escalation.reset();
        state.end(now);
        self.publish(&state);
    }

    /// Forgets the limit by order. Attempts in flight change nothing afterwards.
    pub(crate) fn forget(&self, now: Instant) {
        let mut state = self.lock();
        *state = State {
            generation: (state.generation + 1) % GENERATIONS,
            learns: state.learns,
            of_one_caller: state.of_one_caller,
            ..State::new(now)
        };
        self.publish(&state);
    }

    /// Forgets a send rate without a refusal since `sent`, when the endpoint got the attempt that
    /// shows the end of an outage. Its quota has refilled meanwhile, and may be another one. A slow
    /// start bounds the attempts of the waiters.
    pub(crate) fn forget_rate(&self, sent: Instant, now: Instant) {
        let mut state = self.lock();
        if state.phase == Phase::Paced && state.back && state.rate.last_refusal() <= sent {
            state.clear(now);
            self.publish(&state);
        }
    }

    /// Records a success of an attempt. `age` is the age of the pool at its admission. Returns
    /// whether it may change the limit: a limit or a test is known.
    #[inline]
    pub(crate) fn served(&self, ticket: Stub, age: Duration) -> bool {
        // Whole milliseconds keep the cache line clean. A lost race costs a millisecond or less.
        let sent = millis(age.saturating_sub(self.born));
        if self.newest_success.load(Ordering::Relaxed) < sent {
            self.newest_success.store(sent, Ordering::Relaxed);
        }
        !ticket.is_free() || self.word.load(Ordering::Acquire) & TESTED != 0
    }

    /// Learns from a success for which [`served`](Self::served) returned `true`. Returns whether it
    /// ended a cooldown, or is the first one after a cooldown.
    pub(crate) fn succeeded(&self, ticket: Ticket, now: Instant) -> bool {
        let mut state = self.lock();
        (state.evidence).compare_served(ticket.sender, ticket.sent);
        let ended = state.refutes_bench(ticket, now)
            || state.tested(ticket, now)
            || state.is_back(ticket, now);
        self.publish(&state);
        ended
    }

    /// Records that the caller cancelled an attempt, which is no verdict on the limit. A probe and
    /// an early attempt keep their slots for the whole patience. Otherwise a series of cancelled
    /// requests would send such attempts without a bound.
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
        if matches!(ticket.pass, Pass::Free | Pass::Paced) {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.release(ticket);
        }
    }

    /// Records an answer that is neither a success nor a refusal. A probe after a limit has passed
    /// its test, because it was not refused. A bench ends only with a success: a server may check
    /// the request before the account.
    pub(crate) fn accepted(&self, ticket: Ticket, now: Instant) {
        if matches!(ticket.pass, Pass::Free | Pass::Paced) {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            if state.is_probe(ticket) && !state.bench {
                state.pace(now);
                self.publish(&state);
            } else {
                state.release(ticket);
            }
        }
    }

    /// Releases the slot and the token of an attempt that was not sent.
    pub(crate) fn unsent(&self, ticket: Ticket) {
        if ticket.pass == Pass::Free {
            return;
        }
        if let Some(mut state) = self.current(ticket) {
            state.release(ticket);
            match ticket.pass {
                Pass::Recovery => state.unsend_recovery(ticket.sent),
                // Not within the rate.
                Pass::OfCaller | Pass::Early => state.rate.unserved(),
                _ => state.rate.unsend(),
            }
        }
    }

    /// Returns the locked state, if the attempt is of the current generation. The tests of other
    /// callers belong to all generations.
    fn current(&self, ticket: Ticket) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        let is_current = ticket.generation == state.generation || ticket.pass == Pass::OfCaller;
        is_current.then_some(state)
    }

    /// Begins a cooldown and a new generation. Returns the length, which is at most
    /// [`MAX_COOLDOWN`].
    fn cool(&self, state: &mut State, wait: Duration, trigger: Trigger, now: Instant) -> Duration {
        let wait = wait.min(MAX_COOLDOWN);
        let until = saturating_add(now, wait);
        state.rate.pause(now, until);
        state.generation = (state.generation + 1) % GENERATIONS;
        state.back = false;
        state.bench = false;
        state.refutable = None;
        state.doubtful = false;
        state.provisional = false;
        state.is_of_accused = false;
        state.rounded = false;
        state.early.restart();
        state.trigger = trigger;
        state.schedule_recovery(wait, now);
        state.phase = Phase::Cooling { until };
        self.publish(state);
        wait
    }

    /// Copies the generation and the phase to `word`, for readers without the lock.
    fn publish(&self, state: &State) {
        let busy = if state.phase == Phase::Clear { 0 } else { BUSY };
        let is_tested = state.evidence.is_open() || state.refutable.is_some();
        let tested = if is_tested { TESTED } else { 0 };
        let has_accused = state.evidence.accused().is_some();
        let accused = if has_accused { ACCUSED } else { 0 };
        let cools_until = match state.phase {
            Phase::Cooling { until } => nanos(until.saturating_duration_since(self.origin)),
            _ => 0,
        };
        self.cools_until.store(cools_until, Ordering::Release);
        self.word.store(
            state.generation << FLAG_BITS | accused | tested | busy,
            Ordering::Release,
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can interrupt a change, so a poisoned state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whole nanoseconds, and the largest number for an absurd time.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Ticket {
    /// Sets the sender of the attempt.
    pub(crate) fn of(self, sender: Sender) -> Self {
        Self { sender, ..self }
    }

    /// Returns whether no limit was known at the admission.
    fn is_free(self) -> bool {
        self.pass == Pass::Free
    }

    /// Returns whether the attempt tests a limit before its end.
    fn is_test(self) -> bool {
        matches!(self.pass, Pass::Recovery | Pass::OfCaller)
    }

    /// Returns the ticket without its instant.
    #[inline]
    pub(crate) fn stub(self) -> Stub {
        Stub((self.generation as u32) << PASS_BITS | self.pass as u32)
    }
}

impl Stub {
    /// Returns whether no limit was known at the admission.
    #[inline]
    fn is_free(self) -> bool {
        self.0 & ((1 << PASS_BITS) - 1) == Pass::Free as u32
    }

    /// Returns the ticket of an attempt that was admitted at `sent`.
    #[inline]
    pub(crate) fn at(self, sent: Instant) -> Ticket {
        Ticket {
            generation: u64::from(self.0 >> PASS_BITS),
            pass: match self.0 & ((1 << PASS_BITS) - 1) {
                0 => Pass::Free,
                1 => Pass::Paced,
                2 => Pass::Probe,
                3 => Pass::Recovery,
                4 => Pass::Early,
                _ => Pass::OfCaller,
            },
            sent,
            sender: Sender::default(),
        }
    }
}

impl State {
    /// Creates the state of an endpoint without a known limit.
    fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Clear,
            generation: 0,
            streak: 0,
            crowd: Crowd::default(),
            back: true,
            left: false,
            bench: false,
            escalation: Escalation::default(),
            refutable: None,
            excused: (0, 0),
            #[cfg(feature = "health")]
            checks: Checks::default(),
            provisional: false,
            lowered: now,
            probe_due: None,
            doubtful: false,
            is_of_accused: false,
            tests: Tests::new(now),
            rounded: false,
            early: Early::new(now),
            evidence: Evidence::new(now),
            learns: true,
            of_one_caller: false,
            trigger: Trigger::default(),
            patience: PATIENCE.0,
            rate: Rate::new(now),
        }
    }

    /// Sets the streak of refused probes. A new streak has no crowd yet.
    fn set_streak(&mut self, streak: u32) {
        self.streak = streak;
        if streak == 0 {
            self.crowd = Crowd::default();
        }
    }

    /// Returns the earliest instant of the next admission while a probe is in flight.
    fn ready_after_probe(&mut self, sent: Instant, now: Instant) -> Instant {
        let known = saturating_add(sent, self.patience);
        if self.trusts_rate() {
            known.min(self.rate.next_at_rate(now))
        } else if self.doubtful {
            known.min(self.test_due_beside(sent))
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
            Phase::Probing { sent: Some(sent) }
                if self.doubtful && self.test_due_beside(sent) <= now =>
            {
                self.tests.send(now);
                Some(Pass::Recovery)
            }
            Phase::Cooling { .. } | Phase::Probing { sent: Some(_) } => None,
            Phase::Probing { sent: None } => {
                self.phase = Phase::Probing { sent: Some(now) };
                self.left = false;
                self.rate.send_within(now);
                Some(Pass::Probe)
            }
            Phase::Paced => self.rate.try_send(now).then_some(Pass::Paced),
        }
    }

    /// Returns the earliest instant of the next regular attempt, and whether it is the end of a
    /// cooldown.
    fn ready_at(&mut self, now: Instant) -> (Instant, bool) {
        self.advance(now);
        let ready = match self.phase {
            Phase::Cooling { until } => return (until, true),
            Phase::Probing { sent: Some(sent) } => self.ready_after_probe(sent, now),
            Phase::Clear | Phase::Probing { sent: None } => now,
            Phase::Paced => self.rate.next(now),
        };
        (ready, false)
    }

    /// Returns the earliest instant of an early attempt of a request that came at `since`, which
    /// may have passed.
    fn early_at(&self, since: Instant) -> Option<Instant> {
        let is_possible = match self.phase {
            Phase::Paced => self.back && !self.rate.is_claimed(),
            Phase::Cooling { .. } => self.rounded,
            Phase::Clear | Phase::Probing { .. } => false,
        };
        let rate = (self.rate.sent(), self.rate.is_refused());
        is_possible
            .then(|| self.early.next(rate, since, self.patience))
            .flatten()
    }

    /// Admits an early attempt, if its refusal can be risked.
    fn admit_early(&mut self, since: Instant, now: Instant) -> bool {
        let is_due = self.early_at(since).is_some_and(|at| at <= now);
        if is_due {
            self.early.send(self.patience, now);
            self.rate.send(now);
        }
        is_due
    }

    /// Learns from the refusal of an early attempt. The rate remains, because it did not allow the
    /// attempt.
    fn refuse_early(&mut self, took: Option<Duration>, now: Instant) {
        self.rate.unserved();
        let least = self.least_delay(took);
        self.early.refused(least, now);
        if matches!(self.phase, Phase::Cooling { .. }) {
            self.rate.confirm();
        }
    }

    /// Ends the cooldown of a rounded hint, because an attempt was served meanwhile.
    fn contradict(&mut self, now: Instant) {
        if self.end(now) && self.rate.contradict() {
            self.evidence.disprove_rate();
            self.drop_rate(now);
        }
    }

    /// Delays the early attempts after the refusal of another attempt.
    fn hold_early(&mut self, took: Option<Duration>, now: Instant) {
        let least = self.least_delay(took);
        self.early.hold(least, now);
    }

    /// Returns the shortest delay of an early attempt after a refusal: the time of one attempt, and
    /// at least twice the response time of a refusal.
    fn least_delay(&self, took: Option<Duration>) -> Duration {
        let gap = self
            .rate
            .known()
            .map_or(1.0, |known| (1.0 / known).min(1.0));
        let took = took.unwrap_or_default().saturating_mul(2);
        Duration::from_secs_f64(gap).max(took)
    }

    /// Learns from a refusal of the present generation. Returns the length of the cooldown, if one
    /// follows.
    fn take_refusal(&mut self, ticket: Ticket, refusal: Refusal, now: Instant) -> Option<Duration> {
        let Refusal {
            hint, took, seed, ..
        } = refusal;
        self.advance(now);
        if let Some(took) = took {
            self.rate.set_response_time(took);
        }
        let streak = self.streak_with(ticket);
        let is_tested = refusal.testable && ticket.pass != Pass::Probe;
        let is_expected = is_tested
            && (self.ends_futile_limit(ticket, now) || self.lowers_rate_only(ticket, refusal, now));
        if is_expected {
            self.release(ticket);
            return None;
        }
        if is_tested && self.evidence.contradicts() {
            match ticket.pass {
                Pass::Early => self.refuse_early(took, now),
                // A rate measures the served attempts.
                _ => self.rate.unserved(),
            }
            return None;
        }
        // A refused probe shows that a hint of zero is wrong, so it counts as no hint.
        let is_short = hint.unwrap_or(ROUNDED) <= ROUNDED;
        let hint = hint.filter(|hint| !hint.is_zero() || streak == 0);
        let wait = hint.unwrap_or_else(|| without_hint(streak));
        self.set_patience(took);
        self.set_streak(streak);
        self.measure(ticket, (seed, is_short), now);
        Some(wait)
    }

    /// Ends a limit that follows only from the refusals of the accused caller. A claimed or
    /// confirmed rate has another cause.
    fn end_limit_of_accused(&mut self, now: Instant) {
        if self.rate.is_measured() && self.rate.confirmed().is_none() {
            self.drop_rate(now);
        }
        if self.provisional {
            self.end(now);
        }
    }

    /// Sets the patience after a refusal with this response time.
    fn set_patience(&mut self, took: Option<Duration>) {
        if let Some(took) = took {
            self.patience = took.saturating_mul(2).clamp(PATIENCE.0, PATIENCE.1);
        }
    }

    /// Lets the send rate learn from a credible refusal.
    fn measure(&mut self, ticket: Ticket, (seed, is_tested): (Option<f64>, bool), now: Instant) {
        // A refused probe came too early. It does not measure the send rate.
        let is_measured = self.rate.known().is_some() || self.evidence.supports_rate();
        if ticket.pass != Pass::Probe && is_measured {
            let is_first = self.rate.known().is_none();
            self.rate.refused(is_tested, now);
            if is_first && !self.evidence.is_unanimous() {
                self.rate.doubt();
            }
        }
        if let Some(seed) = seed {
            self.rate.seed(seed);
        }
    }

    /// Ends the limit of an endpoint that refuses as many attempts with it as without it. Returns
    /// whether this refusal shows that.
    fn ends_futile_limit(&mut self, ticket: Ticket, now: Instant) -> bool {
        self.evidence.decay(now);
        let is_futile = self.is_futile_after_refusal(ticket);
        if is_futile {
            self.evidence.tolerate(self.rate.outcomes());
            self.drop_rate(now);
        }
        is_futile
    }

    /// Counts a refusal in spite of the limit. Returns whether the limit is futile.
    pub(super) fn is_futile_after_refusal(&mut self, ticket: Ticket) -> bool {
        let is_limited = match self.rate.known() {
            Some(_) => self.phase == Phase::Paced,
            // Each refusal begins a cooldown, and none of them measures a rate.
            None => !self.evidence.contradicts() && !self.evidence.is_unanimous(),
        };
        // An older attempt was in flight when the rate was lowered.
        let is_within = ticket.pass == Pass::Paced && ticket.sent > self.lowered;
        let is_quota_likely = self.evidence.is_quota_likely();
        is_limited && is_within && self.rate.is_futile_after_refusal(is_quota_likely)
    }

    /// Handles a refusal at a known send rate, which is no surprise. Returns whether no cooldown
    /// follows.
    fn lowers_rate_only(&mut self, ticket: Ticket, refusal: Refusal, now: Instant) -> bool {
        if self.phase != Phase::Paced || self.rate.known().is_none() {
            return false;
        }
        // The attempt was in flight when the rate was lowered.
        if ticket.sent <= self.lowered {
            return true;
        }
        let is_due = self.back && self.rate.is_refusal_due(now);
        let mut rate = self.rate;
        let is_short = refusal.hint.unwrap_or(ROUNDED) <= ROUNDED;
        rate.refused(is_short, now);
        if rate.is_disproved() {
            self.evidence.disprove_rate();
            self.drop_rate(now);
            return true;
        }
        if !is_due || !is_short {
            return false;
        }
        rate.slow_down(now);
        self.rate = rate;
        self.lowered = now;
        self.hold_early(refusal.took, now);
        true
    }

    /// Drops a rate. The next one grows within a second, so that the waiters do not start all at
    /// once.
    fn drop_rate(&mut self, now: Instant) {
        self.rate = Rate::new(now);
    }

    /// Records a success as a test of refusals. Returns whether it ended a cooldown.
    fn tested(&mut self, ticket: Ticket, now: Instant) -> bool {
        // Beside a known rate, successes prove nothing: the rate leaves room for them. Neither do
        // those of other callers during a cooldown, because a quota refills meanwhile.
        let can_test = self.rate.known().is_none() && ticket.pass != Pass::OfCaller;
        let is_test = self.evidence.is_open() && can_test;
        if !is_test || !self.evidence.served(ticket.sent, now) {
            return false;
        }
        let waits = matches!(self.phase, Phase::Cooling { .. } | Phase::Probing { .. });
        let evidence = &self.evidence;
        let is_contradicted = evidence.contradicts() || evidence.is_of_one_caller(now);
        let revokes = waits && self.provisional && is_contradicted;
        if !revokes {
            return false;
        }
        self.clear(now);
        !std::mem::replace(&mut self.back, true)
    }

    /// Records a success of the present generation. Returns whether it is the first one after a
    /// cooldown.
    fn is_back(&mut self, ticket: Ticket, now: Instant) -> bool {
        if ticket.pass == Pass::OfCaller {
            // Of any generation: the cooldowns of the accused caller are short.
            self.tests.unsend();
            return false;
        }
        if ticket.pass == Pass::Free || ticket.generation != self.generation {
            return false;
        }
        self.end_streak(ticket, now);
        self.escalation.reset();
        if ticket.pass == Pass::Recovery {
            self.tests.unsend();
            self.end(now);
        }
        self.early.earn(now.saturating_duration_since(ticket.sent));
        if ticket.pass == Pass::Early {
            self.early_served(ticket, now);
        }
        if matches!(self.phase, Phase::Probing { .. }) {
            self.pace(now);
        }
        !std::mem::replace(&mut self.back, true)
    }

    /// Ends the streak of refused probes after a success.
    fn end_streak(&mut self, ticket: Ticket, now: Instant) {
        if ticket.pass == Pass::Probe && self.streak > 0 {
            self.early.resume(now);
        }
        self.set_streak(0);
    }

    /// Learns from an early attempt that was served.
    fn early_served(&mut self, ticket: Ticket, now: Instant) {
        self.early.served(ticket.sent);
        self.contradict(now);
    }

    /// Forgets the limit.
    fn clear(&mut self, now: Instant) {
        self.phase = Phase::Clear;
        self.rate = Rate::new(now);
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
            Phase::Paced if self.back && self.rate.is_over(now) => self.clear(now),
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
        if self.learns {
            self.advance(now);
        } else {
            self.clear(now);
        }
    }

    /// Frees the slot, if the attempt is the present probe.
    fn release(&mut self, ticket: Ticket) {
        match ticket.pass {
            Pass::Early => self.early.left(),
            // Only a refusal for a limit counts as a test.
            Pass::Recovery | Pass::OfCaller => self.tests.unsend(),
            Pass::Free | Pass::Paced | Pass::Probe => {}
        }
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
            Pass::Free | Pass::Paced | Pass::Recovery | Pass::Early | Pass::OfCaller => 0,
        }
    }
}

/// Returns the length of a cooldown without a hint, after this number of refused probes.
fn without_hint(streak: u32) -> Duration {
    let factor = 2u32.saturating_pow(streak);
    let wait = FIRST_WITHOUT_HINT.saturating_mul(factor);
    wait.min(MAX_WITHOUT_HINT)
}

pub(crate) mod accused;
pub(crate) mod bench;
mod crowd;
mod doubt;
mod early;
mod evidence;
pub(crate) mod others;
mod own;
pub(crate) mod recovery;
#[cfg(test)]
pub(crate) mod tests;
