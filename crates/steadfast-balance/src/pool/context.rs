//! The state that all services of a layer share, apart from the endpoints.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::Instant;

use crate::admit::signals::PoolSignals;
use crate::config::PoolConfig;
use crate::select::random::Dice;

/// The settings and state of a pool, without its endpoints.
pub(crate) struct PoolContext {
    /// The settings of the pool.
    pub(crate) config: PoolConfig,
    /// The instant at which the pool was created. Ages are stored relative to it.
    pub(crate) start: Instant,
    /// The queue and the observers.
    pub(crate) signals: Arc<PoolSignals>,
    /// The values that some selections write.
    pub(crate) draws: Draws,
    /// The id of the next endpoint.
    pub(crate) ids: AtomicU64,
}

/// The values that some selections write.
pub(crate) struct Draws {
    /// The source of random numbers.
    pub(crate) dice: Dice,
    /// The position of [`Strategy::RoundRobin`](crate::Strategy::RoundRobin).
    pub(crate) round: AtomicU64,
    /// The number of choices by the weights of a request.
    pub(crate) turns: AtomicU64,
    /// The instant of the last attempt of last resort, in nanoseconds since the start. 0 before the
    /// first.
    pub(crate) last_resort: AtomicU64,
}

impl PoolContext {
    pub(crate) fn new(mut config: PoolConfig) -> Self {
        let observers = std::mem::take(&mut config.observers);
        // The age from which a waiter stops if a refused probe shows that its wait is in vain.
        let vain_from = config.overload_wait() / 2;
        let signals = PoolSignals::new(observers, config.abandoned_after, vain_from);
        Self {
            draws: Draws {
                dice: Dice::new(config.seed.unwrap_or_else(|| fastrand::u64(..))),
                round: AtomicU64::new(0),
                turns: AtomicU64::new(0),
                last_resort: AtomicU64::new(0),
            },
            config,
            start: Instant::now(),
            signals: Arc::new(signals),
            ids: AtomicU64::new(0),
        }
    }

    /// Returns the age of the pool at `now`.
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

impl fmt::Debug for PoolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolContext").finish_non_exhaustive()
    }
}
