//! Emits transitions in their order, without a lock.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_core::layer::Observers;
use steadfast_core::{BreakerState, EndpointName, Event};
use tokio::sync::watch;

use crate::machine::Change;

/// The observers and subscribers of a breaker, and the queue of transitions.
///
/// An observer may run any code and may even use this breaker, so no lock is held meanwhile. One
/// thread at a time emits: two threads could overtake each other, and the last state would be the
/// state of an earlier transition.
#[derive(Debug)]
pub(crate) struct Announcer {
    name: EndpointName,
    observers: Observers,
    watch: watch::Sender<BreakerState>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: VecDeque<Change>,
    /// A thread emits, and continues until the queue is empty.
    busy: bool,
}

/// The right of one thread to emit.
struct Emission<'a> {
    announcer: &'a Announcer,
    over: bool,
}

impl Announcer {
    pub(super) fn new(name: EndpointName, observers: Observers) -> Self {
        Self {
            name,
            observers,
            watch: watch::Sender::new(BreakerState::Closed),
            queue: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &EndpointName {
        &self.name
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<BreakerState> {
        self.watch.subscribe()
    }

    /// Queues a transition. The caller holds the lock under which it was made, so that the queue
    /// has the order of the transitions.
    pub(super) fn push(&self, change: Change) {
        self.lock().changes.push_back(change);
    }

    /// Emits the queued transitions, unless another thread does.
    pub(super) fn emit(&self) {
        let mut queue = self.lock();
        if std::mem::replace(&mut queue.busy, true) {
            return;
        }
        drop(queue);
        let mut emission = Emission {
            announcer: self,
            over: false,
        };
        while let Some(change) = emission.next() {
            self.emit_one(change);
        }
    }

    fn emit_one(&self, change: Change) {
        self.watch.send_replace(change.to);
        self.observers.emit(&Event::Breaker {
            endpoint: self.name.clone(),
            from: change.from,
            to: change.to,
            retry_in: change.retry_in,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No user code runs under the lock, so a panic cannot leave the queue inconsistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emission<'_> {
    /// Returns the next transition, or ends the emission.
    fn next(&mut self) -> Option<Change> {
        let mut queue = self.announcer.lock();
        let change = queue.changes.pop_front();
        if change.is_none() {
            // Under the same lock: a later transition starts another emission.
            queue.busy = false;
            self.over = true;
        }
        change
    }
}

impl Drop for Emission<'_> {
    fn drop(&mut self) {
        // An observer that panics must not stop the events of this breaker.
        if !self.over {
            self.announcer.lock().busy = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_emission_leaves_next_one_busy() {
        let announcer = Announcer::new("a".into(), Observers::new());
        let mut emission = Emission {
            announcer: &announcer,
            over: false,
        };
        assert_eq!(emission.next(), None);
        // Another thread begins before this emission is dropped.
        announcer.lock().busy = true;
        drop(emission);
        assert!(announcer.lock().busy);
    }
}
