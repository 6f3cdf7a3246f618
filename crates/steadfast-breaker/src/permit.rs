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
    handle: Arc<Handle>,
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
    Settled,
}

impl Permit {
    pub(crate) fn new(handle: Arc<Handle>, admission: Admission) -> Self {
        Self {
            handle,
            admission,
            progress: Progress::Waiting,
        }
    }

    /// Returns whether the attempt is a probe of a half-open breaker.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.admission.place.is_some()
    }

    /// Whether the breaker has made no transition since it was admitted.
    pub(crate) fn is_current(&self) -> bool {
        self.handle.is_current(&self.admission)
    }

    /// Lets the attempt begin now, if it has waited since it was admitted and still may.
    pub(crate) fn begin(&mut self) -> bool {
        if let Some(started) = &mut self.admission.started {
            *started = now();
        }
        self.handle.renew(&self.admission)
    }

    /// Takes the verdict on the head of a response whose body still runs.
    ///
    /// A probe is settled by it and gives its place back, because the body may be a stream of
    /// minutes. For another attempt the verdict is kept: it counts when the permit is dropped,
    /// unless [`record`](Self::record) brings another one.
    pub fn head(&mut self, verdict: Verdict) {
        if self.admission.started.is_some() && self.admission.took.is_none() {
            self.admission.took = self.admission.elapsed(now());
        }
        self.progress = match self.progress {
            Progress::Waiting if self.is_probe() => {
                self.handle.settle(&self.admission, verdict);
                Progress::Probed
            }
            Progress::Waiting | Progress::Head(_) => Progress::Head(verdict),
            settled => settled,
        };
    }

    /// Takes the verdict on the attempt.
    ///
    /// For a probe that was settled at its [`head`](Self::head), a failure is one more failure of
    /// the state that the breaker is in now, unless it has opened since the probe was admitted.
    /// Any other verdict on it changes nothing.
    pub fn record(mut self, verdict: Verdict) {
        match mem::replace(&mut self.progress, Progress::Settled) {
            Progress::Waiting | Progress::Head(_) => self.handle.settle(&self.admission, verdict),
            Progress::Probed if matches!(verdict.breaker(), BreakerEffect::Failure) => {
                self.handle.fail_late(&self.admission, verdict);
            }
            Progress::Probed | Progress::Settled => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match mem::replace(&mut self.progress, Progress::Settled) {
            Progress::Waiting => self.handle.release(&self.admission),
            Progress::Head(verdict) => self.handle.settle(&self.admission, verdict),
            Progress::Probed | Progress::Settled => {}
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", self.handle.announcer().name())
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}
