//! The last calls, one bit each.

use std::sync::atomic::{AtomicU64, Ordering};

/// The last calls, one bit each.
#[derive(Debug)]
pub(super) struct CallRing {
    size: u64,
    bits: Box<[AtomicU64]>,
    /// The number of calls so far.
    count: AtomicU64,
    bad: AtomicU64,
}

impl CallRing {
    pub(super) fn new(size: u32) -> Self {
        let words = size.max(1).div_ceil(u64::BITS);
        Self {
            size: u64::from(size.max(1)),
            bits: (0..words).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        }
    }

    pub(super) fn push(&self, bad: bool) {
        let at = self.count.fetch_add(1, Ordering::Relaxed) % self.size;
        let index = usize::try_from(at / 64).unwrap_or_default();
        let mask = 1 << (at % 64);
        let word = &self.bits[index];
        // The count follows each change of a bit, so the two cannot diverge.
        if bad {
            if word.fetch_or(mask, Ordering::Relaxed) & mask == 0 {
                self.bad.fetch_add(1, Ordering::Relaxed);
            }
        } else if word.load(Ordering::Relaxed) & mask != 0
            && word.fetch_and(!mask, Ordering::Relaxed) & mask != 0
        {
            self.bad.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes a good call of the newest bad one.
    pub(super) fn take_back(&self) {
        let (count, size) = (self.count.load(Ordering::Relaxed), self.size);
        let newest_first = (1..=size.min(count)).map(|back| (count - back) % size);
        for at in newest_first {
            let index = usize::try_from(at / 64).unwrap_or_default();
            let mask = 1 << (at % 64);
            if self.bits[index].fetch_and(!mask, Ordering::Relaxed) & mask != 0 {
                self.bad.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        let all = self.count.load(Ordering::Relaxed).min(self.size);
        // A bit changes before the count, so the count may be negative for a moment.
        let bad = u64::try_from(self.bad.load(Ordering::Relaxed) as i64).unwrap_or(0);
        (bad.min(all), all)
    }

    pub(super) fn clear(&self) {
        for word in &self.bits {
            let bad = u64::from(word.swap(0, Ordering::Relaxed).count_ones());
            self.bad.fetch_sub(bad, Ordering::Relaxed);
        }
        self.count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn concurrent_calls_are_all_counted() {
        let ring = CallRing::new(1000);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let ring = &ring;
                scope.spawn(move || {
                    for n in 0..10_000u32 {
                        ring.push((n + thread) % 4 == 0);
                    }
                });
            }
        });
        let bits = ring
            .bits
            .iter()
            .map(|word| word.load(Ordering::Relaxed).count_ones());
        let bits = u64::from(bits.sum::<u32>());
        assert_eq!(bits, ring.counts().0, "the count matches the bits");
    }

    #[test]
    fn newest_bad_call_becomes_good() {
        let ring = CallRing::new(3);
        for bad in [true, false, true, false] {
            ring.push(bad);
        }
        for bad in [0, 0] {
            ring.take_back();
            assert_eq!(ring.counts(), (bad, 3), "the first call left the ring");
        }
    }

    proptest! {
        #[test]
        fn ring_counts_like_a_list(
            size in 1..200u32,
            calls in prop::collection::vec(any::<bool>(), 0..600),
            clear in prop::option::of(0..600usize),
        ) {
            let ring = CallRing::new(size);
            let mut list = VecDeque::new();
            for (n, &bad) in calls.iter().enumerate() {
                if clear == Some(n) {
                    ring.clear();
                    list.clear();
                }
                ring.push(bad);
                list.push_back(bad);
                if list.len() > size as usize {
                    list.pop_front();
                }
                let bad = list.iter().filter(|&&bad| bad).count() as u64;
                prop_assert_eq!(ring.counts(), (bad, list.len() as u64));
            }
        }
    }
}
