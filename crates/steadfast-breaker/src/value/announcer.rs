//! Tells of transitions, in their order and with no lock held.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_core::{BreakerState, EndpointName, Event, Observers};
use tokio::sync::watch;

use crate::machine::state_machine::Change;

/// The observers and subscribers of a breaker, and what they are still to be told.
///
/// Whoever is told may run any code, even use this breaker. So no lock is held meanwhile, and one
/// thread at a time tells: two of them could overtake each other, and the last word would be that
/// of an earlier transition.
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
    /// Some thread tells, and will not stop before the queue is empty.
    busy: bool,
}

/// The turn of one thread to tell.
struct Turn<'a> {
    announcer: &'a Announcer,
    over: bool,
}

impl Announcer {
    pub(crate) fn new(name: EndpointName, observers: Observers) -> Self {
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
    pub(crate) fn push(&self, change: Change) {
        self.lock().changes.push_back(change);
    }

    /// Tells what is queued, unless another thread does.
    pub(crate) fn tell(&self) {
        let mut queue = self.lock();
        if std::mem::replace(&mut queue.busy, true) {
            return;
        }
        drop(queue);
        let mut turn = Turn {
            announcer: self,
            over: false,
        };
        while let Some(change) = turn.next() {
            self.tell_one(change);
        }
    }

    fn tell_one(&self, change: Change) {
        self.watch.send_replace(change.to);
        self.observers.emit(&Event::Breaker {
            endpoint: self.name.clone(),
            from: change.from,
            to: change.to,
            retry_in: change.retry_in,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code of a user runs under the lock, so a panic cannot have left it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The next transition, or the end of the turn.
    fn next(&mut self) -> Option<Change> {
        let mut queue = self.announcer.lock();
        let change = queue.changes.pop_front();
        if change.is_none() {
            // Under the same lock: a transition that comes now finds nobody at it.
            queue.busy = false;
            self.over = true;
        }
        change
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // An observer that panics must not silence the breaker for ever.
        if !self.over {
            self.announcer.lock().busy = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_one_turn_does_not_end_the_next() {
        let announcer = Announcer::new("a".into(), Observers::new());
        let mut turn = Turn {
            announcer: &announcer,
            over: false,
        };
        assert_eq!(turn.next(), None);
        // Another thread begins before this one has gone.
        announcer.lock().busy = true;
        drop(turn);
        assert!(announcer.lock().busy);
    }
}
