//! The state that the handles and permits of a breaker share: admission and steps.

use std::sync::{OnceLock, PoisonError};
use std::time::Duration;

use steadfast_core::layer::Observers;
use steadfast_core::{BreakerState, EndpointName};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::announcer::Announcer;
use super::word::Word;
use crate::machine::{
    Admission, Machine, Order, Phase, RateLimits, Rates, Rules, Timing, TripReason, Wait,
};
use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, now};

/// The state machine behind a lock, and the atomics that most calls need instead of it.
///
/// While the breaker is closed and nothing fails, calls only read the word. An open breaker rejects
/// without the lock. The atomics are written under the lock, the word last: a reader of a word sees
/// the values that belong to it.
#[derive(Debug)]
pub(crate) struct Shared {
    word: AtomicU64,
    /// The end of the open time, in nanoseconds since the epoch.
    until: AtomicU64,
    epoch: OnceLock<Instant>,
    /// The failures among the last outcomes.
    failures: AtomicU32,
    window: u32,
    pub(super) rate_limits: RateLimits,
    pub(super) rates: Option<Box<Rates>>,
    /// Whether attempts carry their start.
    measures: bool,
    /// Verdicts on attempts from before the last transition.
    pub(super) late: AtomicU64,
    machine: Mutex<Machine>,
    announcer: Announcer,
    /// Wakes the services that wait for an admission.
    changed: Notify,
}

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

    /// Returns whether every attempt is admitted and traffic does not grow, which is the common
    /// case.
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

    /// Returns the share of successes among the last outcomes.
    #[inline]
    pub(crate) fn health(&self) -> f64 {
        let failures = self.failures.load(Ordering::Acquire);
        if failures == 0 {
            return 1.0;
        }
        1.0 - f64::from(failures) / f64::from(self.window)
    }

    /// Admits an attempt, or returns the time until one may be admitted, if known. Reads the clock
    /// only if the breaker is not just closed.
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
                // in memory: a value written in parts and read as a whole is slow.
                let mut probe = admission;
                self.admit_at(word, now(), &mut probe).map_err(Some)?;
                Ok(probe)
            }
        }
    }

    /// Admits an attempt at a breaker that is not just closed.
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
        // Without a time: the breaker was isolated meanwhile.
        let admitted = self.step(|machine| machine.admit(now));
        *admission = admitted.map_err(|wait| wait.unwrap_or(Duration::MAX))?;
        Ok(())
    }

    /// Admits a probe before the end of the open time, `every` after the last opening or probe.
    pub(crate) fn admit_early(
        &self,
        every: Duration,
        now: Instant,
    ) -> Result<Admission, Option<Duration>> {
        self.step(|machine| machine.admit_early(every, now))
    }

    /// Returns the time until a probe may be admitted early.
    pub(crate) fn early_wait(&self, every: Duration, now: Instant) -> Option<Wait> {
        if self.is_closed() {
            return None;
        }
        self.lock().early_wait(every, now)
    }

    /// Returns whether a probe has succeeded, and the breaker has not closed yet.
    pub(crate) fn is_recovering(&self) -> bool {
        self.state() == BreakerState::HalfOpen && self.lock().is_recovering()
    }

    /// Returns when an attempt may be admitted.
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

    /// Ends an attempt without a verdict.
    #[inline]
    pub(crate) fn release(&self, admission: &Admission) {
        if admission.is_probe() {
            self.free(*admission);
        }
    }

    #[inline(never)]
    fn free(&self, admission: Admission) {
        self.step(|machine| machine.release(&admission));
    }

    /// Starts an attempt that waited since its admission. Returns whether it may start: a
    /// transition makes it stale, and a probe may have lost its slot.
    pub(crate) fn renew(&self, admission: &Admission) -> bool {
        if !admission.is_probe() {
            return self.is_current(admission);
        }
        let now = now();
        self.step(|machine| machine.renew(admission, now))
    }

    /// Returns whether there was no transition since an attempt was admitted.
    pub(crate) fn is_current(&self, admission: &Admission) -> bool {
        self.word().generation() == admission.generation()
    }

    pub(crate) fn order(&self, order: Order) {
        let now = now();
        self.step(|machine| machine.order(order, now));
    }

    /// Returns the rest of the open time, without the lock. `None` if it is over.
    fn still_open(&self, now: Instant) -> Option<Duration> {
        let gone = now.saturating_duration_since(*self.epoch.get()?);
        let until = Duration::from_nanos(self.until.load(Ordering::Acquire));
        until.checked_sub(gone).filter(|wait| !wait.is_zero())
    }

    /// Makes one step of the machine, and emits its transition.
    pub(super) fn step<T>(&self, step: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.lock();
        let (before, taken) = (machine.generation(), machine.slots_taken());
        let result = step(&mut machine);
        let moved = machine.generation() != before;
        let freed = machine.slots_taken() < taken;
        // Only an opening that is taken back leads to an older generation. The rates still have the
        // other outcomes then.
        let is_restored = machine.generation().wrapping_sub(before) > u32::MAX / 2;
        if moved && !is_restored {
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
            // All waiters: a single one may be a handle that is no longer polled.
            self.changed.notify_waiters();
        }
        if change.is_some() {
            self.announcer.emit();
        }
        result
    }

    fn begin_phase(&self, phase: Phase) {
        match phase {
            Phase::Open { until } => {
                // The epoch is the first opening, because a breaker may be older than a paused
                // clock.
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
    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // No user code runs under the lock, and no step of the machine panics half-way.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use steadfast_core::{Class, Verdict};

    /// The healthy path works while another thread holds the lock.
    #[test]
    fn healthy_path_takes_no_lock() {
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
    fn open_breaker_rejects_without_lock() {
        let shared = Shared::new("a".into(), Rules::default(), Observers::new());
        shared.order(Order::Trip);
        let held = shared.lock();
        let wait = shared.admit(now).expect_err("open").expect("known time");
        drop(held);
        assert!(wait > Duration::from_secs(59) && wait <= Duration::from_secs(60));
    }
}
