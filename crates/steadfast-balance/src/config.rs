//! The settings of a pool, apart from its endpoints.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::layer::Observers;

use crate::exhausted::WhenExhausted;
use crate::select::pick::Pick;
use crate::select::strategy::Strategy;

/// The longest time that a request without a deadline waits for a slot, if not set.
pub(crate) const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
/// The longest wait for a better endpoint before a degraded one is used, if not set.
pub(crate) const DEFAULT_PREFER_WAIT: Duration = Duration::from_secs(3);

/// What is configured, beside the endpoints.
#[derive(Clone)]
pub(crate) struct PoolConfig {
    pub(crate) strategy: Arc<dyn Pick>,
    pub(crate) observers: Observers,
    pub(crate) request_root: String,
    pub(crate) abandoned_after: Option<Duration>,
    pub(crate) when_exhausted: WhenExhausted,
    pub(crate) max_wait: Duration,
    pub(crate) prefer_wait: Duration,
    pub(crate) seed: Option<u64>,
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
            prefer_wait: DEFAULT_PREFER_WAIT,
            seed: None,
        }
    }
}
