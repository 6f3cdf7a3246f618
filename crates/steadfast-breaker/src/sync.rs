//! The primitives of the state, which `loom` replaces where it checks every interleaving.

#[cfg(steadfast_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(steadfast_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(steadfast_loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(steadfast_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

/// The time now. A model has one instant only, since each of its runs must be like the last.
pub(crate) fn now() -> Instant {
    #[cfg(steadfast_loom)]
    {
        static NOW: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *NOW.get_or_init(Instant::now)
    }
    #[cfg(not(steadfast_loom))]
    Instant::now()
}
