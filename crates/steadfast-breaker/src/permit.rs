//! The right to make one attempt.

use std::fmt;
use std::mem;
use std::sync::Arc;

use steadfast_core::Verdict;

use crate::breaker::{CircuitBreaker, Handle};
use crate::machine::{Admission, Cleared};
use crate::sync::now;

/// The right to make one attempt, which ends with a verdict.
///
/// Made by [`CircuitBreaker::try_acquire`](crate::CircuitBreaker::try_acquire). Dropping it
/// without a verdict means that the attempt was cancelled, which says nothing about the endpoint.
/// A verdict on an attempt that was admitted before the last transition changes nothing.
#[must_use = "dropping a permit means that the attempt was cancelled"]
pub struct Permit {
    /// Until the attempt is settled. It is moved out for that: a permit whose address is never
    /// taken stays in registers where the attempt takes no time.
    handle: Option<Arc<Handle>>,
    attempt: Attempt,
}

/// A [`Permit`] that keeps no reference to its breaker, for those who have the breaker beside it,
/// as a pool of endpoints has.
///
/// Made by [`CircuitBreaker::try_acquire_detached_at`]. It has to be given back to its own breaker,
/// by [`record`](Self::record) or by [`end`](Self::end), also by an attempt that is dropped: one that
/// is lost keeps the place of a probe until its
/// [time](crate::CircuitBreakerBuilder::probe_timeout) is over. With another breaker it would free
/// or settle what is not its own.
#[derive(Debug)]
#[must_use = "dropping a permit without its breaker keeps the place of a probe"]
pub struct DetachedPermit(Attempt);

/// What was admitted.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    admission: Admission,
    progress: Progress,
}

/// How far the attempt has come.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Nothing is known.
    Waiting,
    /// The head was a success, which is taken back if the attempt fails after all.
    Succeeded(Cleared),
    /// The head was none. That stands.
    Settled,
}

impl Permit {
    #[inline]
    pub(crate) fn new(handle: Arc<Handle>, admission: Admission) -> Self {
        Self {
            handle: Some(handle),
            attempt: Attempt::new(admission),
        }
    }

    /// Returns whether the attempt is a probe of a half-open breaker.
    #[inline]
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.attempt.is_probe()
    }

    /// Whether the breaker has made no transition since it was admitted.
    pub(crate) fn is_current(&self) -> bool {
        let is_current = |handle: &Arc<Handle>| handle.is_current(&self.attempt.admission);
        self.handle.as_ref().is_some_and(is_current)
    }

    /// Lets the attempt begin now, if it has waited since it was admitted and still may.
    pub(crate) fn begin(&mut self) -> bool {
        self.attempt.admission.begin(now);
        let renews = |handle: &Arc<Handle>| handle.renew(&self.attempt.admission);
        self.handle.as_ref().is_some_and(renews)
    }

    /// Takes the verdict on the head of a response whose body still runs.
    ///
    /// It counts at once, as the body may be a stream of minutes: failures, which come at the
    /// head, would be counted long before the successes. A probe gives its place back. Only the
    /// first head counts.
    #[inline]
    pub fn head(&mut self, verdict: Verdict) {
        if let Some(handle) = &self.handle {
            self.attempt.head(handle, verdict);
        }
    }

    /// Takes that the head of a response has come and says nothing yet, which is taken for a
    /// success until more is known.
    ///
    /// A probe gives its place back, for the same reason as at [`head`](Self::head), and counts
    /// when its verdict comes.
    pub(crate) fn head_without_verdict(&mut self) {
        let Some(handle) = &self.handle else {
            return;
        };
        if self.attempt.is_probe() {
            self.attempt.admission.stop(now);
            handle.release(&self.attempt.admission);
        } else {
            self.attempt.head(handle, Verdict::SUCCESS);
        }
    }

    /// Takes the verdict on the attempt.
    ///
    /// After a [`head`](Self::head) that was a success, a failure takes the place of that in all
    /// windows, and the row of failures goes on that no other success has ended. If it was that of a
    /// probe, it is one more failure of the state that the breaker is in now. Either way it counts
    /// only if the breaker has not opened since the attempt was admitted. Any other verdict after
    /// the head changes nothing, but for a rate limit if those
    /// [count](crate::CircuitBreakerBuilder::rate_limits).
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        let (handle, attempt) = (self.handle.take(), self.attempt);
        // Nothing is left that a drop would have to look at.
        mem::forget(self);
        if let Some(handle) = handle {
            attempt.record(&handle, verdict);
        }
    }
}

impl DetachedPermit {
    #[inline]
    pub(crate) fn new(admission: Admission) -> Self {
        Self(Attempt::new(admission))
    }

    /// Returns whether the attempt is a probe of a half-open breaker.
    #[inline]
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.0.is_probe()
    }

    /// Takes the verdict on the head of a response, as [`Permit::head`] does.
    #[inline]
    pub fn head(&mut self, breaker: &CircuitBreaker, verdict: Verdict) {
        self.0.head(breaker.handle(), verdict);
    }

    /// Takes the verdict on the attempt, as [`Permit::record`] does.
    #[inline]
    pub fn record(self, breaker: &CircuitBreaker, verdict: Verdict) {
        self.0.record(breaker.handle(), verdict);
    }

    /// Ends the attempt, as dropping a [`Permit`] does: as cancelled, unless its head has come.
    #[inline]
    pub fn end(self, breaker: &CircuitBreaker) {
        self.0.end(breaker.handle());
    }
}

impl Attempt {
    #[inline]
    fn new(admission: Admission) -> Self {
        Self {
            admission,
            progress: Progress::Waiting,
        }
    }

    #[inline]
    fn is_probe(&self) -> bool {
        self.admission.is_probe()
    }

    #[inline]
    fn head(&mut self, handle: &Handle, verdict: Verdict) {
        if !matches!(self.progress, Progress::Waiting) {
            return;
        }
        self.admission.stop(now);
        // This is what nearly all attempts come to.
        let cleared = if handle.has_nothing_to_learn(&self.admission, verdict) {
            Some(Cleared::default())
        } else {
            handle.settle(&self.admission, verdict)
        };
        self.progress = cleared.map_or(Progress::Settled, Progress::Succeeded);
    }

    #[inline]
    fn record(self, handle: &Handle, verdict: Verdict) {
        let waits = matches!(self.progress, Progress::Waiting);
        // This is what nearly all attempts come to.
        if !waits || !handle.has_nothing_to_learn(&self.admission, verdict) {
            settle(handle, self, verdict);
        }
    }

    #[inline]
    fn end(self, handle: &Handle) {
        if let Progress::Waiting = self.progress {
            handle.release(&self.admission);
        }
    }
}

#[inline(never)]
fn settle(handle: &Handle, attempt: Attempt, verdict: Verdict) {
    let Attempt {
        admission,
        progress,
    } = attempt;
    match progress {
        Progress::Waiting => {
            handle.settle(&admission, verdict);
        }
        Progress::Succeeded(cleared) => handle.settle_late(&admission, cleared, verdict),
        Progress::Settled => {}
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.attempt.end(&handle);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.handle.as_ref().map(|handle| handle.announcer().name());
        f.debug_struct("Permit")
            .field("breaker", &name)
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is moved from the call to the future and on to the body.
    #[test]
    fn a_permit_is_small() {
        assert!(size_of::<Permit>() <= 64, "{}", size_of::<Permit>());
    }
}
