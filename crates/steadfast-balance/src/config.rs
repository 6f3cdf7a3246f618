//! The settings of a pool, apart from its endpoints.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::layer::Observers;

use crate::exhausted::WhenExhausted;
use crate::select::pick::Pick;
use crate::select::strategy::Strategy;

/// The default of `max_wait`: the longest wait of a request without a deadline.
pub(crate) const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
/// The default of `prefer_wait`: the longest wait for a better endpoint than a degraded one.
pub(crate) const DEFAULT_PREFER_WAIT: Duration = Duration::from_secs(3);

/// The default of `overload_wait`: the shortest bound of a wait during an overload.
pub(crate) const DEFAULT_OVERLOAD_WAIT: Duration = Duration::from_secs(1);

/// The default of `probe_wait`: the longest wait for a probe while all breakers are open.
pub(crate) const DEFAULT_PROBE_WAIT: Duration = Duration::from_secs(1);

/// The settings of a pool, without its endpoints.
#[derive(Clone)]
pub(crate) struct PoolConfig {
    /// Selects among the candidates of a tier.
    pub(crate) strategy: Arc<dyn Pick>,
    /// Notified of events.
    pub(crate) observers: Observers,
    /// The start of request paths that the base path of an endpoint replaces.
    pub(crate) request_root: String,
    /// The time after which a dropped attempt counts as a timeout.
    pub(crate) abandoned_after: Option<Duration>,
    /// The treatment of requests without an admissible endpoint.
    pub(crate) when_exhausted: WhenExhausted,
    /// The longest wait of a request without a deadline.
    pub(crate) max_wait: Duration,
    /// The shortest bound of a wait during an overload, if it is set.
    pub(crate) overload_wait: Option<Duration>,
    /// The longest wait for a probe while all breakers are open.
    pub(crate) probe_wait: Duration,
    /// The longest wait for a better endpoint than a degraded one.
    pub(crate) prefer_wait: Duration,
    /// Whether endpoints have learned send rates.
    pub(crate) learned_rates: bool,
    /// The seed of random numbers, for repeatable runs.
    pub(crate) seed: Option<u64>,
}

impl PoolConfig {
    /// Returns whether load may be shed: an overload shortens waits, and a request is rejected on
    /// arrival if its expected wait is too long.
    pub(crate) fn sheds(&self) -> bool {
        self.overload_wait.is_none_or(|wait| wait < self.max_wait)
    }

    /// Returns the shortest bound of a wait during an overload.
    pub(crate) fn overload_wait(&self) -> Duration {
        self.overload_wait.unwrap_or(DEFAULT_OVERLOAD_WAIT)
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            strategy: Arc::new(Strategy::default()),
            observers: Observers::new(),
            request_root: String::new(),
            abandoned_after: None,
            when_exhausted: WhenExhausted::default(),
            max_wait: DEFAULT_MAX_WAIT,
            overload_wait: None,
            probe_wait: DEFAULT_PROBE_WAIT,
            prefer_wait: DEFAULT_PREFER_WAIT,
            learned_rates: true,
            seed: None,
        }
    }
}
