//! The state that the handles and permits of a breaker share.

use std::sync::{OnceLock, PoisonError};
use std::time::Duration;

use steadfast_core::{BreakerEffect, BreakerState, Class, EndpointName, Observers, Verdict};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::machine::rates::Rates;
use crate::machine::rules::{RateLimits, Rules};
use crate::machine::state_machine::{
    Admission, Cleared, Machine, Order, Phase, Timing, TripReason, Wait,
};
use crate::machine::streak::FailureStreak;
use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, now};
use crate::value::announcer::Announcer;

/// The state machine behind a lock, and in front of it what most calls need to know.
///
/// While the breaker is closed and nothing fails, calls only read the word, and an open breaker
/// rejects without the lock. The atomics are written under the lock, and the word last: who sees a
/// word sees the rest that belongs to it. On cache lines of its own: whatever else is written near
/// it, no attempt waits for that.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shared {
    word: AtomicU64,
    /// Until when it is open, in nanoseconds since the epoch.
    until: AtomicU64,
    epoch: OnceLock<Instant>,
    /// The failures among the last outcomes.
    failures: AtomicU32,
    window: u32,
    rate_limits: RateLimits,
    rates: Option<Box<Rates>>,
    /// Attempts remember when they began.
    measures: bool,
    /// Verdicts on attempts from before the last transition.
    late: AtomicU64,
    machine: Mutex<Machine>,
    announcer: Announcer,
    /// Wakes those who wait until they are admitted.
    changed: Notify,
}

/// The generation, the number of the run of failures, whether there are failures that a success
/// has to clear, and the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Shared {
    pub(crate) fn new(name: EndpointName, rules: Rules, observers: Observers) -> Self {
        let machine = Machine::new(rules);
        let rates = Rates::new(&rules);
        Self {
            word: AtomicU64::new(Word::of(&machine).0),
            until: AtomicU64::new(0),
            epoch: OnceLock::new(),
            failures: AtomicU32::new(machine.failures()),
            window: rules.window,
            rate_limits: rules.rate_limits,
            measures: rules.slow_calls.is_some(),
            rates,
            late: AtomicU64::new(0),
            machine: Mutex::new(machine),
            announcer: Announcer::new(name, observers),
            changed: Notify::new(),
        }
    }

    pub(crate) fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.word().state()
    }

    /// Whether it admits all and its traffic does not grow: all that most requests find.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.word().phase() == Word::CLOSED
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.word().phase() == Word::DISABLED
    }

    pub(crate) fn is_isolated(&self) -> bool {
        self.word().phase() == Word::ISOLATED
    }

    pub(crate) fn is_ramping(&self) -> bool {
        self.word().phase() == Word::RAMPING
    }

    pub(crate) fn reason(&self) -> Option<TripReason> {
        self.lock().reason()
    }

    pub(crate) fn late_verdicts(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// The share of successes among the last outcomes.
    #[inline]
    pub(crate) fn health(&self) -> f64 {
        let failures = self.failures.load(Ordering::Acquire);
        if failures == 0 {
            return 1.0;
        }
        1.0 - f64::from(failures) / f64::from(self.window)
    }

    /// Admits an attempt, or says in what time one may be admitted, if that is known. The clock is
    /// asked only if the breaker is not just closed.
    #[inline]
    pub(crate) fn admit(&self, now: impl Fn() -> Instant) -> Result<Admission, Option<Duration>> {
        let word = self.word();
        let admission = word.admission(Timing::Unknown);
        match word.phase() {
            Word::CLOSED if !self.measures => Ok(admission),
            Word::DISABLED => Ok(admission),
            Word::ISOLATED => Err(None),
            _ => {
                // A copy that is written behind a reference, so that the other one need not be
                // in memory: what is written there in parts and read as a whole is slow.
                let mut probe = admission;
                self.admit_at(word, now(), &mut probe).map_err(Some)?;
                Ok(probe)
            }
        }
    }

    /// Admits an attempt of a breaker that is more than just closed.
    fn admit_at(
        &self,
        word: Word,
        now: Instant,
        admission: &mut Admission,
    ) -> Result<(), Duration> {
        if word.phase() == Word::CLOSED {
            admission.timing = Timing::Since(now);
            return Ok(());
        }
        if word.phase() == Word::OPEN {
            if let Some(wait) = self.still_open(now) {
                return Err(wait);
            }
        }
        // Isolated meanwhile, and with no time to name.
        let admitted = self.step(|machine| machine.admit(now));
        *admission = admitted.map_err(|wait| wait.unwrap_or(Duration::MAX))?;
        Ok(())
    }

    /// When an attempt may be admitted.
    pub(crate) fn wait(&self, now: impl Fn() -> Instant) -> Wait {
        match self.word().phase() {
            Word::CLOSED | Word::DISABLED => Wait::Nothing,
            Word::ISOLATED => Wait::For(None),
            Word::OPEN => match self.still_open(now()) {
                None => Wait::Nothing,
                wait => Wait::For(wait),
            },
            _ => {
                let now = now();
                self.lock().wait(now)
            }
        }
    }

    /// Whether the verdict changes nothing, which is the common case: no calls are counted, and
    /// there is nothing that a success has to clear.
    #[inline]
    pub(crate) fn has_nothing_to_learn(&self, admission: &Admission, verdict: Verdict) -> bool {
        matches!(verdict.breaker(), BreakerEffect::Success)
            && self.rates.is_none()
            && self.word().is_clean_for(admission)
    }

    /// Takes the verdict on an attempt. Returns what it has cleared, if it is a success.
    pub(crate) fn settle(&self, admission: &Admission, verdict: Verdict) -> Option<Cleared> {
        if self.has_nothing_to_learn(admission, verdict) {
            return Some(Cleared::default());
        }
        match verdict.breaker() {
            BreakerEffect::Success => return self.succeed(admission, verdict),
            BreakerEffect::Failure => self.fail(admission, verdict),
            _ => self.settle_neutral(admission, verdict),
        }
        None
    }

    /// Takes another verdict on an attempt that had succeeded.
    pub(crate) fn settle_late(&self, admission: &Admission, cleared: Cleared, verdict: Verdict) {
        match verdict.breaker() {
            BreakerEffect::Success => {}
            BreakerEffect::Failure => self.fail_late(admission, cleared, verdict),
            _ if self.is_current(admission) => {
                self.limit(admission, verdict, Self::turn);
            }
            _ => {}
        }
    }

    fn fail_late(&self, admission: &Admission, cleared: Cleared, verdict: Verdict) {
        let now = now();
        self.step(|machine| {
            if machine.is_before_opening(admission) {
                return self.count_late();
            }
            let counts = machine.fail_late(admission, cleared, verdict, now);
            self.count_failure(counts, machine, verdict, now, || self.turn(admission));
        });
    }

    /// Ends an attempt that has shown nothing.
    #[inline]
    pub(crate) fn release(&self, admission: &Admission) {
        if admission.place.is_some() {
            self.free(*admission);
        }
    }

    #[inline(never)]
    fn free(&self, admission: Admission) {
        self.step(|machine| machine.release(&admission));
    }

    /// Lets an attempt begin that has waited since it was admitted. Returns whether it may: a
    /// transition has made it old, and the place of a probe is reclaimed after a while.
    pub(crate) fn renew(&self, admission: &Admission) -> bool {
        if admission.place.is_none() {
            return self.is_current(admission);
        }
        let now = now();
        self.step(|machine| machine.renew(admission, now))
    }

    /// Whether there was no transition since an attempt was admitted.
    pub(crate) fn is_current(&self, admission: &Admission) -> bool {
        self.word().generation() == admission.generation
    }

    pub(crate) fn order(&self, order: Order) {
        let now = now();
        self.step(|machine| machine.order(order, now));
    }

    fn succeed(&self, admission: &Admission, verdict: Verdict) -> Option<Cleared> {
        let word = self.word();
        if word.generation() != admission.generation {
            self.count_late();
            // A probe that breaks is a failure of whatever the breaker is by then.
            return admission.is_probe().then(Cleared::default);
        }
        if admission.is_probe() {
            // Half-open has no rates: a probe that is too slow has failed.
            if self.is_slow(admission) {
                self.fail(admission, verdict);
                return None;
            }
        } else if let Some(reason) = self.count(admission, Some(false)) {
            self.trip(admission, reason, verdict);
            return None;
        }
        if word.is_clean() {
            return Some(Cleared::default());
        }
        let now = now();
        self.step_of(admission, |machine| machine.succeed(admission, now))
    }

    fn fail(&self, admission: &Admission, verdict: Verdict) {
        if !self.is_current(admission) {
            return self.count_late();
        }
        let now = now();
        self.step_of(admission, |machine| {
            let counts = machine.fail(admission, verdict, now);
            self.count_failure(counts, machine, verdict, now, || {
                self.count(admission, Some(true))
            });
        });
    }

    /// Counts a failure for the rates, which a breaker has while it is closed. One lost connection
    /// is one bad call.
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

    /// Opens because the counters of a rate say so, unless the attempt is old news.
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
        // Neither a success nor a failure, but it has taken its time.
        if !admission.is_probe() && verdict.class() != Class::Cancelled {
            if let Some(reason) = self.count(admission, None) {
                self.trip(admission, reason, verdict);
            }
        }
    }

    /// Does what is to be done for a rate limit, if the verdict is one and there is something.
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
            if machine.generation() == admission.generation {
                return Some(step(machine));
            }
            self.count_late();
            None
        })
    }

    /// Counts a verdict that changes nothing, as it is on an attempt from before a transition.
    fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    fn is_slow(&self, admission: &Admission) -> bool {
        let rates = self.rates.as_ref();
        rates.is_some_and(|rates| rates.is_slow(admission))
    }

    /// Counts an attempt for the rates, and returns the one that is too high now.
    fn count(&self, admission: &Admission, failed: Option<bool>) -> Option<TripReason> {
        self.rates.as_ref()?.count(failed, admission)
    }

    /// Counts for the rates that an attempt failed which was counted as a success, if it was.
    fn turn(&self, admission: &Admission) -> Option<TripReason> {
        if admission.is_probe() {
            return self.count(admission, Some(true));
        }
        self.rates.as_ref()?.turn()
    }

    /// How much longer it is open, without the lock. `None` if its time is over.
    fn still_open(&self, now: Instant) -> Option<Duration> {
        let gone = now.saturating_duration_since(*self.epoch.get()?);
        let until = Duration::from_nanos(self.until.load(Ordering::Acquire));
        until.checked_sub(gone).filter(|wait| !wait.is_zero())
    }

    /// Makes one step of the machine, and tells of the transition that it made.
    fn step<T>(&self, step: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.lock();
        let (before, taken) = (machine.generation(), machine.slots_taken());
        let result = step(&mut machine);
        let moved = machine.generation() != before;
        let freed = machine.slots_taken() < taken;
        if moved {
            self.begin_phase(machine.phase());
        }
        self.failures.store(machine.failures(), Ordering::Release);
        self.word.store(Word::of(&machine).0, Ordering::Release);
        let change = machine.take_change();
        if let Some(change) = change {
            self.announcer.push(change);
        }
        drop(machine);
        if moved || freed {
            // All of them: one that was woken alone might be a handle that nobody polls any more.
            self.changed.notify_waiters();
        }
        if change.is_some() {
            self.announcer.tell();
        }
        result
    }

    fn begin_phase(&self, phase: Phase) {
        match phase {
            Phase::Open { until } => {
                // The clock of whoever opens it, as a breaker may be older than a paused clock.
                let epoch = *self.epoch.get_or_init(now);
                let until = until.saturating_duration_since(epoch).as_nanos();
                let until = u64::try_from(until).unwrap_or(u64::MAX);
                self.until.store(until, Ordering::Release);
            }
            Phase::Closed { .. } => {
                if let Some(rates) = &self.rates {
                    rates.clear();
                }
            }
            Phase::HalfOpen { .. } | Phase::Disabled | Phase::Isolated => {}
        }
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // No code of a user runs under the lock, and no step of the machine panics half-way.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Word {
    const CLOSED: u64 = 0;
    const OPEN: u64 = 1;
    const HALF_OPEN: u64 = 2;
    /// Closed, and traffic grows.
    const RAMPING: u64 = 3;
    const DISABLED: u64 = 4;
    const ISOLATED: u64 = 5;

    const PHASE: u64 = 0b111;
    const DIRTY: u64 = 0b1000;
    const RUN_SHIFT: u32 = 4;
    const GENERATION_SHIFT: u32 = 32;

    fn of(machine: &Machine) -> Self {
        let (phase, counts) = match machine.phase() {
            Phase::Closed { ramp: None, .. } => (Self::CLOSED, !machine.is_clean()),
            Phase::Closed { ramp: Some(_), .. } => (Self::RAMPING, !machine.is_clean()),
            Phase::Open { .. } => (Self::OPEN, false),
            Phase::HalfOpen { .. } => (Self::HALF_OPEN, true),
            Phase::Disabled => (Self::DISABLED, false),
            Phase::Isolated => (Self::ISOLATED, false),
        };
        let dirty = if counts { Self::DIRTY } else { 0 };
        let run = u64::from(machine.run()) << Self::RUN_SHIFT;
        let generation = u64::from(machine.generation()) << Self::GENERATION_SHIFT;
        Self(generation | run | dirty | phase)
    }

    /// What is admitted while it is closed.
    #[inline]
    fn admission(self, timing: Timing) -> Admission {
        Admission {
            generation: self.generation(),
            run: self.run(),
            place: None,
            timing,
        }
    }

    /// Whether a success of this attempt has nothing to clear, nor a place to give back.
    #[inline]
    fn is_clean_for(self, admission: &Admission) -> bool {
        // While it is half-open every word is dirty.
        self.is_clean() && self.generation() == admission.generation
    }

    #[inline]
    fn phase(self) -> u64 {
        self.0 & Self::PHASE
    }

    #[inline]
    fn is_clean(self) -> bool {
        self.0 & Self::DIRTY == 0
    }

    #[inline]
    fn run(self) -> u32 {
        (self.0 >> Self::RUN_SHIFT) as u32 & FailureStreak::MASK
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0 >> Self::GENERATION_SHIFT) as u32
    }

    fn state(self) -> BreakerState {
        match self.phase() {
            Self::OPEN | Self::ISOLATED => BreakerState::Open,
            Self::HALF_OPEN => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        }
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};

    /// Everything that the healthy path asks for is answered while another thread holds the lock.
    #[test]
    fn the_healthy_path_takes_no_lock() {
        let shared = Arc::new(Shared::new("a".into(), Rules::default(), Observers::new()));
        let held = shared.lock();
        let (done, finished) = mpsc::channel();
        let other = shared.clone();
        let thread = std::thread::spawn(move || {
            let admission = other.admit(now).expect("closed");
            other.settle(&admission, Verdict::SUCCESS);
            other.settle(&admission, Verdict::new(Class::RateLimited));
            let read = (other.state(), other.health(), other.wait(now));
            done.send(read).expect("the test waits");
        });
        let read = finished.recv_timeout(Duration::from_secs(60));
        drop(held);
        thread.join().expect("no panic");
        assert_eq!(read, Ok((BreakerState::Closed, 1.0, Wait::Nothing)));
    }

    #[test]
    fn an_open_breaker_rejects_without_the_lock() {
        let shared = Shared::new("a".into(), Rules::default(), Observers::new());
        shared.order(Order::Trip);
        let held = shared.lock();
        let wait = shared
            .admit(now)
            .expect_err("open")
            .expect("it knows until when");
        drop(held);
        assert!(wait > Duration::from_secs(59) && wait <= Duration::from_secs(60));
    }

    #[test]
    fn a_word_keeps_what_it_is_made_of() {
        let mut machine = Machine::new(Rules::default());
        assert!(Word::of(&machine).is_clean());
        let mut admission = None;
        for n in 1..5 {
            let new = machine.admit(now()).expect("closed");
            machine.fail(&new, Verdict::new(Class::Timeout), now());
            let word = Word::of(&machine);
            assert_eq!(
                (word.run(), word.generation(), word.is_clean()),
                (1, 0, false)
            );
            assert_eq!(machine.failures(), n);
            admission = Some(new);
        }
        machine.fail(
            &admission.expect("four"),
            Verdict::new(Class::Timeout),
            now(),
        );
        let word = Word::of(&machine);
        assert_eq!((word.state(), word.generation()), (BreakerState::Open, 1));
    }
}
