//! Times as whole milliseconds, which fit into an atomic word.

use std::time::Duration;

/// Returns whole milliseconds, and the largest number for an absurd time.
#[inline]
pub(crate) fn millis(time: Duration) -> u64 {
    // `as_millis` has 128 bits, and costs twice as much.
    let seconds = time.as_secs().saturating_mul(1_000);
    seconds.saturating_add(u64::from(time.subsec_millis()))
}
