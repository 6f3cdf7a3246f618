//! The counts of the checker, and its controls.

use std::any::Any;
use std::sync::{Arc, Mutex};

use tokio::task::unconstrained;

use super::gate::{Admission, Gate};
use crate::sync::lock;

/// Counts calls and readiness of the handles of a [`Contract`](crate::Contract).
///
/// `calls` is always `completed + cancelled + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Calls made on a handle that was ready.
    pub calls: u64,
    /// Calls that returned a response or an error.
    pub completed: u64,
    /// Calls with a future that was dropped before it resolved.
    pub cancelled: u64,
    /// Calls with a future that exists and has not resolved.
    pub in_flight: u64,
    /// Handles that are ready and were not called yet. A layer must not hold readiness for long.
    pub ready: u64,
    /// Handles that were dropped while they were ready: reserved capacity that was not used.
    pub unused: u64,
    /// Readiness errors given out.
    pub failed_ready: u64,
    /// Violations of the contract. Each one also panicked, but a task may have swallowed the panic.
    pub violations: u64,
}

/// Reads the numbers of a [`Contract`](crate::Contract), and decides when its handles are ready.
///
/// Clones are the same probe. It works before, during and after the life of the handles.
#[derive(Clone, Debug)]
pub struct Probe {
    pub(crate) shared: Arc<Shared>,
}

/// The state that all handles and the probe share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    report: Mutex<Report>,
    pub(crate) gate: Gate,
}

impl Shared {
    /// Changes the counts.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut lock(&self.report));
    }

    /// Queues for a permit. The future keeps its position in the queue, as in tower's
    /// `ConcurrencyLimit`. So a handle that stops polling it blocks later handles.
    pub(crate) fn admit(self: Arc<Self>) -> Admission {
        // Unconstrained: the answer must not depend on how much the task has polled before.
        Box::pin(unconstrained(async move { self.gate.pass().await }))
    }

    /// Counts a violation and panics.
    #[track_caller]
    pub(crate) fn violation(&self, message: &str) -> ! {
        self.note(|report| report.violations += 1);
        panic!("tower contract broken: {message}");
    }
}

impl Probe {
    /// Returns the numbers as they are now.
    #[must_use]
    pub fn report(&self) -> Report {
        *lock(&self.shared.report)
    }

    /// Makes handles wait in `poll_ready` until [`allow`](Self::allow).
    ///
    /// Those that have reported readiness keep it: it cannot be taken back.
    pub fn hold(&self) {
        self.shared.gate.set_held(true);
    }

    /// Ends a [`hold`](Self::hold), and wakes the waiting handles.
    pub fn allow(&self) {
        self.shared.gate.set_held(false);
    }

    /// Gives `error` to the next handle that asks for readiness, or that waits for it.
    ///
    /// It must have the error type of the service: the poll panics otherwise.
    pub fn fail_ready<E: Any + Send + Sync>(&self, error: E) {
        self.shared.gate.fail(Box::new(error));
    }

    /// Checks that no call is in flight, no readiness is held and no promise was broken.
    ///
    /// # Panics
    ///
    /// If it is not so.
    #[track_caller]
    pub fn assert_idle(&self) {
        let report = self.report();
        let idle = report.in_flight == 0 && report.ready == 0 && report.violations == 0;
        assert!(idle, "the service is not idle: {report:?}");
    }
}
