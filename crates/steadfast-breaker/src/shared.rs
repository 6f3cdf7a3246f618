//! The state that the handles and permits of a breaker share.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_core::{BreakerEffect, BreakerState, Class, EndpointName, Observers, Verdict};
use tokio::time::Instant;

use crate::announcer::Announcer;
use crate::machine::{Admission, Machine};
use crate::rules::Rules;

/// The state machine behind a lock, and in front of it what the healthy path needs to know.
///
/// While the breaker is closed and nothing fails, requests only read the atomics. They are
/// written under the lock, and the state last: who sees a state sees the rest that belongs to it.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The generation and, in the two lowest bits, the state.
    word: AtomicU64,
    /// The number of the current run of failures.
    run: AtomicU64,
    /// The failures in the window. While there are none, a success has nothing to tell.
    failures: AtomicU32,
    window: u32,
    machine: Mutex<Machine>,
    announcer: Announcer,
}

impl Shared {
    pub(crate) fn new(name: EndpointName, rules: Rules, observers: Observers) -> Self {
        let machine = Machine::new(rules);
        Self {
            word: AtomicU64::new(word(&machine)),
            run: AtomicU64::new(machine.run()),
            failures: AtomicU32::new(machine.failures()),
            window: rules.window,
            machine: Mutex::new(machine),
            announcer: Announcer::new(name, observers),
        }
    }

    pub(crate) fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    pub(crate) fn state(&self) -> BreakerState {
        state_of(self.word.load(Ordering::Acquire))
    }

    /// The share of successes in the window.
    pub(crate) fn health(&self) -> f64 {
        let failures = self.failures.load(Ordering::Acquire);
        1.0 - f64::from(failures) / f64::from(self.window)
    }

    /// Admits an attempt, or says in what time one may be admitted.
    pub(crate) fn admit(&self) -> Result<Admission, Duration> {
        let word = self.word.load(Ordering::Acquire);
        if matches!(state_of(word), BreakerState::Closed) {
            return Ok(Admission {
                generation: word >> STATE_BITS,
                run: self.run.load(Ordering::Acquire),
                place: None,
            });
        }
        let now = Instant::now();
        self.step(|machine| machine.admit(now))
    }

    /// The time until an attempt may be admitted, `None` if that is now.
    pub(crate) fn wait(&self) -> Option<Duration> {
        if matches!(self.state(), BreakerState::Closed) {
            return None;
        }
        let now = Instant::now();
        self.lock().wait(now)
    }

    /// Takes the verdict on an attempt.
    pub(crate) fn settle(&self, admission: &Admission, verdict: Verdict) {
        match verdict.breaker() {
            BreakerEffect::Success => self.succeed(admission),
            BreakerEffect::Failure => {
                let now = Instant::now();
                self.step(|machine| machine.fail(admission, verdict.class(), now));
            }
            _ => self.release(admission),
        }
    }

    /// Takes the failure of a probe that had succeeded.
    pub(crate) fn fail_late(&self, admission: &Admission, class: Class) {
        let now = Instant::now();
        self.step(|machine| machine.fail_late(admission, class, now));
    }

    /// Ends an attempt that has shown nothing.
    pub(crate) fn release(&self, admission: &Admission) {
        if admission.place.is_some() {
            self.step(|machine| machine.release(admission));
        }
    }

    fn succeed(&self, admission: &Admission) {
        // The window keeps the failures that opened the breaker until it closes, so a probe finds
        // some too.
        if self.failures.load(Ordering::Acquire) > 0 {
            self.step(|machine| machine.succeed(admission));
        }
    }

    /// Makes one step of the machine, and tells of the transition that it made.
    fn step<T>(&self, step: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.lock();
        let result = step(&mut machine);
        self.run.store(machine.run(), Ordering::Release);
        self.failures.store(machine.failures(), Ordering::Release);
        self.word.store(word(&machine), Ordering::Release);
        let change = machine.take_change();
        if let Some(change) = change {
            self.announcer.push(change);
        }
        drop(machine);
        if change.is_some() {
            self.announcer.tell();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // No code of a user runs under the lock, and no step of the machine panics half-way.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const STATE_BITS: u32 = 2;

fn word(machine: &Machine) -> u64 {
    let state = match machine.state() {
        BreakerState::Closed => 0,
        BreakerState::Open => 1,
        BreakerState::HalfOpen => 2,
    };
    machine.generation() << STATE_BITS | state
}

fn state_of(word: u64) -> BreakerState {
    match word & ((1 << STATE_BITS) - 1) {
        0 => BreakerState::Closed,
        1 => BreakerState::Open,
        _ => BreakerState::HalfOpen,
    }
}

#[cfg(test)]
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
            let admission = other.admit().expect("closed");
            other.settle(&admission, Verdict::SUCCESS);
            other.settle(&admission, Verdict::new(Class::RateLimited));
            let read = (other.state(), other.health(), other.wait());
            done.send(read).expect("the test waits");
        });
        let read = finished.recv_timeout(Duration::from_secs(60));
        drop(held);
        thread.join().expect("no panic");
        assert_eq!(read, Ok((BreakerState::Closed, 1.0, None)));
    }
}
