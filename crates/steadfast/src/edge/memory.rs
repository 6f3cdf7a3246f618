//! The memory of the answers that a stack holds.
//!
//! A whole answer is held until it is checked. Many large answers at once would use all memory, so
//! further ones pass unread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The bound on the memory of all answers together, besides the first part of each.
const MAX_HELD: usize = 256 * 1024 * 1024;
/// The part of each answer that does not count, and the step in which the rest counts. Most answers
/// are smaller, and change no counter.
const STEP: usize = 64 * 1024;

/// The memory that the answers of a stack hold. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<AtomicUsize>);

/// The memory of one answer. It is free when the answer is passed on or dropped.
#[derive(Debug)]
pub(super) struct Share {
    /// The memory of all answers.
    memory: Memory,
    /// The bytes of this answer.
    taken: usize,
}

impl Memory {
    /// Takes memory for one more step of an answer with this size, if its share is too small.
    ///
    /// Returns `false` if all answers together use the bound.
    pub(super) fn hold(&self, share: &mut Option<Box<Share>>, size: usize) -> bool {
        let taken = share.as_ref().map_or(0, |share| share.taken);
        let Some(missing) = size.checked_sub(STEP + taken).filter(|it| *it > 0) else {
            return true;
        };
        let step = missing.next_multiple_of(STEP);
        if self.0.fetch_add(step, Relaxed).saturating_add(step) > MAX_HELD {
            self.0.fetch_sub(step, Relaxed);
            return false;
        }
        let memory = || Self(self.0.clone());
        let share = share.get_or_insert_with(|| Box::new(Share::new(memory())));
        share.taken += step;
        true
    }
}

impl Share {
    fn new(memory: Memory) -> Self {
        Self { memory, taken: 0 }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.taken, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_together_hold_at_most_the_bound() {
        let memory = Memory::default();
        let mut shares: Vec<Option<Box<Share>>> = Vec::new();
        loop {
            shares.push(None);
            let share = shares.last_mut().expect("pushed");
            assert!(memory.hold(share, STEP), "the first part is free");
            assert!(share.is_none());
            if !memory.hold(share, STEP + 8 * 1024 * 1024) {
                break;
            }
        }
        assert_eq!(shares.len(), MAX_HELD / (8 * 1024 * 1024) + 1);
        assert_eq!(memory.0.load(Relaxed), MAX_HELD);
        // A smaller share fits when another answer is passed on.
        shares.pop();
        let mut small = None;
        assert!(!memory.hold(&mut small, STEP + 1));
        shares.pop();
        assert!(memory.hold(&mut small, STEP + 1));
        drop((shares, small));
        assert_eq!(memory.0.load(Relaxed), 0);
    }

    #[test]
    fn growing_answer_counts_in_steps() {
        let (memory, mut share) = (Memory::default(), None);
        for (size, expected) in [
            (1, 0),
            (STEP, 0),
            (STEP + 1, STEP),
            (2 * STEP, STEP),
            (2 * STEP + 1, 2 * STEP),
            (10 * STEP, 9 * STEP),
        ] {
            assert!(memory.hold(&mut share, size));
            assert_eq!(memory.0.load(Relaxed), expected, "{size}");
        }
    }
}
