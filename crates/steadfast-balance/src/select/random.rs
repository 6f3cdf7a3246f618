use std::sync::atomic::{AtomicU64, Ordering};

/// Random numbers that all services of a layer share, and that repeat with the same seed.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

/// The step of splitmix64, which comes to every number before it repeats.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Returns a number from 0 up to `end`, which is not 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        let bits = mix(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP));
        // The upper half of the product is uniform, but for one part in 2^64.
        ((u128::from(bits) * end as u128) >> 64) as usize
    }
}

/// The end of splitmix64, after which each bit depends on all.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
