//! The endpoints at one instant. A change creates a new snapshot.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::admit::signals::PoolSignals;
use crate::state::EndpointState;

/// All endpoints, and the enabled ones in the order of selection.
#[derive(Debug)]
pub(crate) struct PoolSnapshot {
    /// The number of changes before this snapshot.
    pub(crate) version: u64,
    /// In the order of the configuration.
    pub(crate) all: Vec<ActiveEndpoint>,
    /// The enabled endpoints, by tier, then in the order of the configuration.
    active: Vec<ActiveEndpoint>,
    /// The range of each tier in `active`, lowest tier first.
    tiers: Vec<Range<usize>>,
    /// All active endpoints, as most waiters want them.
    all_active: Arc<[Arc<EndpointState>]>,
    /// Whether an active endpoint receives the credentials of callers.
    pub(crate) passes_credentials: bool,
}

/// An endpoint, with the settings that a handle can change.
#[derive(Clone, Debug)]
pub(crate) struct ActiveEndpoint {
    /// Held by the guards of its attempts.
    pub(crate) pooled: Arc<PooledEndpoint>,
    /// The state, which survives changes of the pool.
    pub(crate) state: Arc<EndpointState>,
    /// The tier, which a handle can change.
    pub(crate) tier: u16,
    /// The weight, which a handle can change.
    pub(crate) weight: f64,
    /// The weight relative to the largest weight of the tier.
    pub(crate) share: f64,
    /// Whether the endpoint takes requests.
    pub(crate) service: EndpointMode,
}

/// An endpoint with the signals of its pool, behind one reference count that each attempt writes.
#[derive(Debug)]
pub(crate) struct PooledEndpoint {
    pub(crate) state: Arc<EndpointState>,
    pub(crate) signals: Arc<PoolSignals>,
}

/// Whether an endpoint takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EndpointMode {
    /// The endpoint takes requests.
    Enabled,
    /// The endpoint takes no requests until it is enabled again.
    Disabled,
    /// The endpoint takes no new requests. Attempts in flight continue.
    Draining,
}

impl PoolSnapshot {
    /// Returns the average latency of `endpoint`. Without an answer of it, the longest one of
    /// another endpoint.
    pub(crate) fn usual_latency(&self, endpoint: &EndpointState) -> Option<Duration> {
        let usual = |endpoint: &EndpointState| endpoint.load.latency.average();
        let others = || {
            self.all
                .iter()
                .filter_map(|entry| usual(&entry.state))
                .max()
        };
        usual(endpoint).or_else(others)
    }

    pub(crate) fn new(version: u64, all: Vec<ActiveEndpoint>) -> Self {
        let mut active: Vec<ActiveEndpoint> = all
            .iter()
            .filter(|entry| entry.service == EndpointMode::Enabled)
            .cloned()
            .collect();
        // A stable sort keeps the order of the configuration.
        active.sort_by_key(ActiveEndpoint::group);
        let mut tiers: Vec<Range<usize>> = Vec::new();
        for (at, entry) in active.iter().enumerate() {
            match tiers.last_mut() {
                Some(last) if active[last.start].group() == entry.group() => last.end = at + 1,
                _ => tiers.push(at..at + 1),
            }
        }
        for tier in &tiers {
            let tier = &mut active[tier.clone()];
            let largest = tier.iter().map(|entry| entry.weight).fold(0.0, f64::max);
            tier.iter_mut()
                .for_each(|entry| entry.share = entry.weight / largest);
        }
        Self {
            version,
            passes_credentials: (active.iter())
                .any(|entry| entry.state.config.passes_credentials()),
            all_active: active.iter().map(|entry| entry.state.clone()).collect(),
            all,
            active,
            tiers,
        }
    }

    /// Returns the enabled endpoints, by tier.
    pub(crate) fn active(&self) -> &[ActiveEndpoint] {
        &self.active
    }

    /// Returns all enabled endpoints as one shared list.
    pub(crate) fn all_active(&self) -> &Arc<[Arc<EndpointState>]> {
        &self.all_active
    }

    /// Returns the range of each tier in the active endpoints, lowest tier first.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.tiers.iter().cloned()
    }
}

impl PoolSnapshot {
    /// Returns whether this tier is degraded and the one before is not.
    pub(crate) fn is_first_degraded(&self, tier: &Range<usize>) -> bool {
        let is_degraded = |at: usize| self.active[at].state.config.degraded;
        tier.start > 0 && is_degraded(tier.start) && !is_degraded(tier.start - 1)
    }
}

impl Default for PoolSnapshot {
    fn default() -> Self {
        Self::new(0, Vec::new())
    }
}

impl ActiveEndpoint {
    /// The order of selection: by tier, and the degraded endpoints of a tier last.
    pub(crate) fn group(&self) -> (u16, bool) {
        (self.tier, self.state.config.degraded)
    }

    pub(crate) fn new(endpoint: EndpointState, signals: Arc<PoolSignals>) -> Self {
        let state = Arc::new(endpoint);
        let pooled = PooledEndpoint {
            state: state.clone(),
            signals,
        };
        Self {
            pooled: Arc::new(pooled),
            tier: state.config.tier,
            weight: state.config.weight,
            share: 1.0,
            state,
            service: EndpointMode::Enabled,
        }
    }
}
