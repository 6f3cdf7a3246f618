//! The requests that an endpoint works on, and those that wait for their turn.
//!
//! The queue models a server with a fixed number of workers. Its order is first in, first out.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Serves in the order of arrival, up to a capacity.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The requests in progress.
    working: u32,
    /// The waiters, oldest first. A waiter that was dropped is skipped.
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Queue {
    /// Takes a slot, or returns a receiver that resolves when a slot is free.
    pub(crate) fn join(&mut self, capacity: u32) -> Option<oneshot::Receiver<()>> {
        if self.working < capacity && self.waiting.is_empty() {
            self.working += 1;
            return None;
        }
        let (turn, wait) = oneshot::channel();
        self.waiting.push_back(turn);
        Some(wait)
    }

    /// Ends a turn, which is the next one's if the capacity allows it.
    pub(crate) fn leave(&mut self, capacity: u32) {
        self.working -= 1;
        self.move_up(capacity);
    }

    /// Gives free slots to waiters, after the capacity has grown.
    pub(crate) fn move_up(&mut self, capacity: u32) {
        while self.working < capacity {
            let Some(turn) = self.waiting.pop_front() else {
                return;
            };
            if turn.send(()).is_ok() {
                self.working += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_turn(wait: &mut oneshot::Receiver<()>) -> bool {
        wait.try_recv().is_ok()
    }

    #[test]
    fn slots_are_granted_in_order_within_capacity() {
        let mut queue = Queue::default();
        assert!(queue.join(2).is_none());
        assert!(queue.join(2).is_none());
        let [mut first, mut second] = [(); 2].map(|()| queue.join(2).expect("a wait"));
        assert!(!has_turn(&mut first));
        queue.leave(2);
        assert!(has_turn(&mut first));
        assert!(!has_turn(&mut second));
    }

    #[test]
    fn smaller_capacity_admits_none_and_larger_capacity_fills_up() {
        let mut queue = Queue::default();
        for _ in 0..4 {
            assert!(queue.join(4).is_none());
        }
        let mut waits = [(); 3].map(|()| queue.join(4).expect("a wait"));
        queue.leave(1);
        queue.leave(1);
        assert!(!waits.iter_mut().any(has_turn));
        queue.move_up(4);
        assert_eq!(waits.each_mut().map(has_turn), [true, true, false]);
    }

    #[test]
    fn cancelled_waiter_is_skipped() {
        let mut queue = Queue::default();
        queue.join(1);
        drop(queue.join(1));
        let mut last = queue.join(1).expect("a wait");
        queue.leave(1);
        assert!(has_turn(&mut last));
    }
}
