//! What a case does with a contestant.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::ask::{Ask, Outcome};
use super::backend::Backend;
use super::clock::Clock;
use super::contestants::{Circuit, Contestant, NotAsked};

/// More failures than any contestant takes in a run.
const ENOUGH: usize = 1_000;

/// A contestant around a backend.
pub(crate) struct Stage<'a> {
    pub(crate) contestant: &'a dyn Contestant,
    pub(crate) setting: Setting,
    pub(crate) backend: Backend,
    pub(crate) circuit: Box<dyn Circuit>,
    pub(crate) clock: Clock,
}

/// What a circuit is made for.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) shape: Shape,
    /// How long it stays open at first.
    pub(crate) open: Duration,
    pub(crate) log: Log,
}

/// What a case needs beside the usual configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Usual,
    /// Half of a window that is long enough to have a past.
    Window,
    /// Two probes, and a window of half the open time where there are windows of time.
    SlowProbes,
    /// The open time doubles up to four times the first.
    Growing,
    /// The open time has jitter.
    Jittered,
    /// There is a timeout outside of the circuit.
    TimeoutOutside,
    /// The contestant reports its transitions.
    Observed,
    /// The state is a metric.
    Metrics,
    /// It is a layer.
    Layer,
}

/// The reported transitions of a contestant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<&'static str>>>);

/// A call that waits for its outcome.
pub(crate) struct Held {
    tell: oneshot::Sender<Ask>,
    task: JoinHandle<Outcome>,
}

// ===== impl Log =====

impl Log {
    pub(crate) fn note(&self, state: &'static str) {
        self.with(|states| states.push(state));
    }

    pub(crate) fn take(&self) -> Vec<&'static str> {
        self.with(std::mem::take)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<&'static str>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// ===== impl Held =====

impl Held {
    /// Whether it has ended already, because it was rejected.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Lets the call end.
    pub(crate) async fn end(self, ask: Ask) -> Option<Outcome> {
        let _ = self.tell.send(ask);
        self.task.await.ok()
    }
}

// ===== impl Stage =====

impl<'a> Stage<'a> {
    pub(crate) fn new(
        contestant: &'a dyn Contestant,
        setting: Setting,
        clock: Clock,
    ) -> Result<Self, NotAsked> {
        let backend = Backend::default();
        let circuit = contestant.circuit(&setting, &backend)?;
        // Some contestants report their first state.
        setting.log.take();
        Ok(Self {
            contestant,
            setting,
            backend,
            circuit,
            clock,
        })
    }

    /// Another circuit like this one, around the same backend.
    pub(crate) fn another(&self) -> Result<Box<dyn Circuit>, NotAsked> {
        self.contestant.circuit(&self.setting, &self.backend)
    }

    pub(crate) async fn call(&self, ask: Ask) -> Outcome {
        self.circuit.call(ask).await
    }

    /// Starts a call, which goes as far as it can.
    pub(crate) async fn start(&self, ask: Ask) -> JoinHandle<Outcome> {
        let task = tokio::spawn(self.circuit.call(ask));
        self.clock.settle().await;
        task
    }

    /// Starts a call and cancels it.
    pub(crate) async fn cancel(&self) {
        let call = self.start(Ask::Hang).await;
        call.abort();
        let _ = call.await;
    }

    /// Starts calls that wait for their outcome.
    pub(crate) async fn hold(&self, count: usize) -> Vec<Held> {
        let held = (0..count).map(|_| {
            let (tell, told) = oneshot::channel();
            let task = tokio::spawn(self.circuit.call(Ask::Later(told)));
            Held { tell, task }
        });
        let held = held.collect();
        self.clock.settle().await;
        held
    }

    /// Makes calls one after the other. Returns how many were let through.
    pub(crate) async fn calls(&self, count: usize, ask: fn() -> Ask) -> usize {
        let before = self.backend.begun();
        for _ in 0..count {
            self.call(ask()).await;
        }
        self.backend.begun() - before
    }

    /// Makes calls until one is rejected. Returns how many came before, unless there is no end.
    pub(crate) async fn until_rejected(&self, ask: fn() -> Ask) -> Option<usize> {
        for count in 0..ENOUGH {
            if self.call(ask()).await.is_rejected() {
                return Some(count);
            }
        }
        None
    }

    /// An outage.
    pub(crate) async fn trip(&self) {
        self.until_rejected(|| Ask::Fail).await;
    }

    /// An outage that is over for as long as it takes to send a probe.
    pub(crate) async fn trip_and_wait(&self) {
        self.trip().await;
        self.wait().await;
    }

    /// Waits until an open circuit is due, and a little longer.
    pub(crate) async fn wait(&self) {
        self.clock.pass(self.setting.open * 9 / 8).await;
    }

    /// How many of 20 calls at once are let through. They succeed.
    pub(crate) async fn at_once(&self) -> usize {
        let before = self.backend.begun();
        let held = self.hold(20).await;
        let calls = self.backend.begun() - before;
        for call in held {
            call.end(Ask::OK).await;
        }
        calls
    }

    /// A circuit that is closed lets five and more calls through to a backend that is down, and one
    /// that probes does not.
    pub(crate) async fn is_closed(&self) -> bool {
        self.until_rejected(|| Ask::Fail)
            .await
            .is_none_or(|calls| calls >= 5)
    }
}
