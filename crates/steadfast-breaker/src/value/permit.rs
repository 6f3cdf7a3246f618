//! The right to make one attempt.

use std::fmt;
use std::mem;
use std::sync::Arc;

use steadfast_core::{BreakerEffect, Verdict};

use super::handle::Handle;
use super::shared::Shared;
use crate::machine::{Admission, Mark};
use crate::sync::now;

/// The right to make one attempt, which ends with a verdict.
///
/// Created by [`CircuitBreaker::try_acquire`](crate::CircuitBreaker::try_acquire). Dropping it
/// without a verdict means that the attempt was cancelled, which changes nothing but a probe slot.
/// A verdict on an attempt that was admitted before the last transition changes nothing.
///
/// `H` is how the permit reaches its breaker: by a counted reference, or
/// [not at all](crate::Detached).
#[must_use = "dropping a permit means that the attempt was cancelled"]
pub struct Permit<H: Hold = Attached> {
    holder: H,
    pub(super) progress: Progress,
}

/// The holder of a [`Permit`] with a counted reference to its breaker.
pub struct Attached {
    /// `None` after the attempt is settled, which moves the handle out. Without a reference to it,
    /// a permit stays in registers during a short attempt.
    handle: Option<Arc<Handle>>,
}

/// How a permit ends if it is dropped.
pub trait Hold {
    /// Ends an attempt without a verdict.
    #[doc(hidden)]
    fn end(&mut self, progress: Progress);
}

/// An admitted attempt, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    admission: Admission,
    stage: Stage,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// No verdict yet.
    Waiting,
    /// The head was a success, which is taken back if the attempt fails after all.
    Succeeded,
    /// The head was no success. Its verdict is final.
    Settled,
}

impl<H: Hold> Permit<H> {
    #[inline]
    pub(super) fn new(holder: H, admission: Admission) -> Self {
        Self {
            holder,
            progress: Progress::new(admission),
        }
    }

    /// Returns whether the attempt is a probe of a half-open breaker.
    #[inline]
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.progress.is_probe()
    }
}

impl Permit {
    #[inline]
    pub(super) fn attached(handle: Arc<Handle>, admission: Admission) -> Self {
        let handle = Some(handle);
        Self::new(Attached { handle }, admission)
    }

    /// Returns whether there was no transition since the admission.
    pub(crate) fn is_current(&self) -> bool {
        let is_current = |handle: &Arc<Handle>| handle.is_current(&self.progress.admission);
        self.holder.handle.as_ref().is_some_and(is_current)
    }

    /// Starts the attempt after a wait since its admission. Returns whether it may start.
    pub(crate) fn begin(&mut self) -> bool {
        self.progress.admission.begin(now);
        let renews = |handle: &Arc<Handle>| handle.renew(&self.progress.admission);
        self.holder.handle.as_ref().is_some_and(renews)
    }

    /// Records the verdict on the head of a response before the end of its body.
    ///
    /// The verdict counts at once, because a body may be a stream of minutes: failures come at the
    /// head and would be counted long before the successes. A probe releases its slot. Only the
    /// first head counts.
    #[inline]
    pub fn head(&mut self, verdict: Verdict) {
        if let Some(handle) = &self.holder.handle {
            self.progress.head(handle, verdict);
        }
    }

    /// Records a head without a verdict, which counts as a success until its verdict comes.
    ///
    /// A probe releases its slot at its head, and counts when its verdict comes.
    pub(crate) fn head_without_verdict(&mut self) {
        let Some(handle) = &self.holder.handle else {
            return;
        };
        if self.progress.is_probe() {
            self.progress.admission.stop(now);
            handle.release(&self.progress.admission);
        } else {
            self.progress.head(handle, Verdict::SUCCESS);
        }
    }

    /// Records the verdict on the attempt.
    ///
    /// A failure after a [`head`](Self::head) that was a success is one more failure, and the
    /// streak resumes unless another success followed. It counts only if the breaker has not opened
    /// since the attempt was admitted. Any other verdict after the head changes nothing, except a
    /// rate limit if those [count](crate::CircuitBreakerBuilder::rate_limits).
    #[inline]
    pub fn record(mut self, verdict: Verdict) {
        let (handle, progress) = (self.holder.handle.take(), self.progress);
        // Nothing is left to drop.
        mem::forget(self);
        if let Some(handle) = handle {
            progress.record(&handle, verdict);
        }
    }
}

impl Progress {
    #[inline]
    fn new(admission: Admission) -> Self {
        Self {
            admission,
            stage: Stage::Waiting,
        }
    }

    #[inline]
    fn is_probe(&self) -> bool {
        self.admission.is_probe()
    }

    #[inline]
    pub(super) fn head(&mut self, shared: &Shared, verdict: Verdict) {
        if !matches!(self.stage, Stage::Waiting) {
            return;
        }
        self.admission.stop(now);
        // The common case comes first, and inline.
        let succeeded = shared.has_nothing_to_learn(&self.admission, verdict)
            || shared.settle(&self.admission, verdict);
        self.stage = if succeeded {
            Stage::Succeeded
        } else {
            Stage::Settled
        };
    }

    #[inline]
    pub(super) fn record(self, shared: &Shared, verdict: Verdict) {
        let waits = matches!(self.stage, Stage::Waiting);
        // The common case comes first, and inline.
        if !waits || !shared.has_nothing_to_learn(&self.admission, verdict) {
            settle(shared, self, verdict);
        }
    }

    /// Records a failure of an attempt without a head. Returns the mark of a failure that counts.
    pub(super) fn fail(self, shared: &Shared, verdict: Verdict) -> Option<Mark> {
        let fails = matches!(verdict.breaker(), BreakerEffect::Failure);
        if matches!(self.stage, Stage::Waiting) && fails {
            return shared.fail(&self.admission, verdict);
        }
        self.record(shared, verdict);
        None
    }

    #[inline]
    pub(super) fn end(self, shared: &Shared) {
        if let Stage::Waiting = self.stage {
            shared.release(&self.admission);
        }
    }
}

#[inline(never)]
fn settle(shared: &Shared, Progress { admission, stage }: Progress, verdict: Verdict) {
    match stage {
        Stage::Waiting => {
            shared.settle(&admission, verdict);
        }
        Stage::Succeeded => shared.settle_late(&admission, verdict),
        Stage::Settled => {}
    }
}

impl Hold for Attached {
    #[inline]
    fn end(&mut self, progress: Progress) {
        if let Some(handle) = self.handle.take() {
            progress.end(&handle);
        }
    }
}

impl<H: Hold> Drop for Permit<H> {
    #[inline]
    fn drop(&mut self) {
        self.holder.end(self.progress);
    }
}

impl<H: Hold + fmt::Debug> fmt::Debug for Permit<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", &self.holder)
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.handle.as_ref().map(|handle| handle.announcer().name());
        name.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A permit moves from the call to the future and on to the body.
    #[test]
    fn permit_fits_in_64_bytes() {
        assert!(size_of::<Permit>() <= 64, "{}", size_of::<Permit>());
    }
}
