//! The right to make one attempt.

use std::fmt;
use std::mem;
use std::sync::Arc;

use steadfast_core::{BreakerEffect, Verdict};

use crate::breaker::Handle;
use crate::machine::Admission;
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
    admission: Admission,
    progress: Progress,
}

/// How far the attempt has come.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Nothing is known.
    Waiting,
    /// The head has this verdict, which stands unless another one follows.
    Head(Verdict),
    /// A probe, which was settled at its head.
    Probed,
}

impl Permit {
    #[inline]
    pub(crate) fn new(handle: Arc<Handle>, admission: Admission) -> Self {
        Self {
            handle: Some(handle),
            admission,
            progress: Progress::Waiting,
        }
    }

    /// Returns whether the attempt is a probe of a half-open breaker.
    #[inline]
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.admission.place.is_some()
    }

    /// Whether the breaker has made no transition since it was admitted.
    pub(crate) fn is_current(&self) -> bool {
        let is_current = |handle: &Arc<Handle>| handle.is_current(&self.admission);
        self.handle.as_ref().is_some_and(is_current)
    }

    /// Lets the attempt begin now, if it has waited since it was admitted and still may.
    pub(crate) fn begin(&mut self) -> bool {
        self.admission.begin(now);
        let renews = |handle: &Arc<Handle>| handle.renew(&self.admission);
        self.handle.as_ref().is_some_and(renews)
    }

    /// Takes the verdict on the head of a response whose body still runs.
    ///
    /// A probe is settled by it and gives its place back, because the body may be a stream of
    /// minutes. For another attempt the verdict is kept: it counts when the permit is dropped,
    /// unless [`record`](Self::record) brings another one.
    #[inline]
    pub fn head(&mut self, verdict: Verdict) {
        self.admission.stop(now);
        if !self.is_probe() {
            self.progress = Progress::Head(verdict);
        } else if let (Progress::Waiting, Some(handle)) = (self.progress, &self.handle) {
            self.progress = Progress::Probed;
            handle.settle(&self.admission, verdict);
        }
    }

    /// Takes that the head of a response has come and says nothing yet.
    ///
    /// A probe gives its place back, for the same reason as at [`head`](Self::head), and counts
    /// when its verdict comes.
    pub(crate) fn head_without_verdict(&mut self) {
        self.admission.stop(now);
        if let Some(handle) = &self.handle {
            handle.release(&self.admission);
        }
    }

    /// Takes the verdict on the attempt.
    ///
    /// For a probe that was settled at its [`head`](Self::head), a failure is one more failure of
    /// the state that the breaker is in now, unless it has opened since the probe was admitted.
    /// Any other verdict on it changes nothing.
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        let (handle, admission, progress) = (self.handle.take(), self.admission, self.progress);
        // Nothing is left that a drop would have to look at.
        mem::forget(self);
        let Some(handle) = handle else {
            return;
        };
        let is_probed = matches!(progress, Progress::Probed);
        // The second half is what nearly all attempts come to.
        if is_probed || !handle.has_nothing_to_learn(&admission, verdict) {
            settle(&handle, admission, is_probed, verdict);
        }
    }
}

#[inline(never)]
fn settle(handle: &Handle, admission: Admission, is_probed: bool, verdict: Verdict) {
    if !is_probed {
        handle.settle(&admission, verdict);
    } else if matches!(verdict.breaker(), BreakerEffect::Failure) {
        handle.fail_late(&admission, verdict);
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        match self.progress {
            Progress::Waiting => handle.release(&self.admission),
            Progress::Head(verdict) => settle(&handle, self.admission, false, verdict),
            Progress::Probed => {}
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
