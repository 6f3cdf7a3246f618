//! Random numbers without a lock, and the mixing of hashes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Random numbers that all services of a layer share. They repeat with the same seed.
///
/// Each draw has a generator of its own, seeded from a counter. Threads therefore share one atomic
/// addition instead of a lock.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    /// Creates the random numbers of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns a number from 0 up to `end`, exclusive. `end` must not be 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        let seed = self.0.fetch_add(1, Ordering::Relaxed);
        fastrand::Rng::with_seed(mix(seed)).usize(..end)
    }
}

/// The finalizer of splitmix64: each bit of the result depends on all bits of `bits`.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
