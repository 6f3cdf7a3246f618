//! What all services of a layer share, apart from the list of endpoints.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::Instant;

use crate::admit::signals::PoolSignals;
use crate::config::PoolConfig;
use crate::select::random::Dice;

/// What the endpoints of a pool share, too.
pub(crate) struct PoolContext {
    pub(crate) config: PoolConfig,
    pub(crate) start: Instant,
    pub(crate) signals: Arc<PoolSignals>,
    pub(crate) draws: Draws,
    pub(crate) ids: AtomicU64,
}

/// What some choices change, on cache lines of its own: who only looks at the rules does not wait.
#[repr(align(128))]
pub(crate) struct Draws {
    pub(crate) dice: Dice,
    /// How far the round of [`Strategy::RoundRobin`](crate::Strategy::RoundRobin) has come.
    pub(crate) round: AtomicU64,
    /// When the last attempt of a broken pool was let through, in nanoseconds since the start,
    /// and 0 if there was none.
    pub(crate) last_resort: AtomicU64,
}

impl PoolContext {
    pub(crate) fn new(mut config: PoolConfig) -> Self {
        let observers = std::mem::take(&mut config.observers);
        let signals = PoolSignals::new(observers, config.abandoned_after);
        Self {
            draws: Draws {
                dice: Dice::new(config.seed.unwrap_or_else(|| fastrand::u64(..))),
                round: AtomicU64::new(0),
                last_resort: AtomicU64::new(0),
            },
            config,
            start: Instant::now(),
            signals: Arc::new(signals),
            ids: AtomicU64::new(0),
        }
    }

    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

impl fmt::Debug for PoolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolContext").finish_non_exhaustive()
    }
}
