//! The endpoints of a balancer, and their shared state.

pub(crate) mod context;
pub(crate) mod handle;
pub(crate) mod key_status;
pub(crate) mod limit_status;
pub(crate) mod services;
pub(crate) mod snapshot;
pub(crate) mod status;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use steadfast_core::InvalidConfig;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::{ActiveEndpoint, PoolSnapshot};
use crate::state::EndpointState;

/// The state that all services of a layer share.
pub(crate) struct Pool {
    /// The settings and state that all endpoints share.
    pub(crate) shared: Arc<PoolContext>,
    /// The endpoints. Each change replaces the snapshot.
    snapshot: ArcSwap<PoolSnapshot>,
    /// The number of changes so far.
    version: AtomicU64,
    /// Held during a change.
    edit: Mutex<()>,
}

// ===== impl Pool =====

impl Pool {
    /// Creates a pool without endpoints.
    fn empty(shared: PoolContext) -> Self {
        Self {
            shared: Arc::new(shared),
            snapshot: ArcSwap::from_pointee(PoolSnapshot::default()),
            version: AtomicU64::new(0),
            edit: Mutex::new(()),
        }
    }

    /// Creates a pool of these endpoints.
    ///
    /// # Errors
    ///
    /// Returns an error if two endpoints have the same name, or if one is invalid.
    pub(crate) fn new(
        shared: PoolContext,
        endpoints: Vec<Endpoint>,
    ) -> Result<Self, InvalidConfig> {
        let pool = Self::empty(shared);
        pool.edit(|entries, new| {
            for (n, endpoint) in endpoints.into_iter().enumerate() {
                let within = |error: InvalidConfig| error.within(&format!("endpoint[{n}]"));
                new(entries, endpoint).map_err(within)?;
            }
            Ok(())
        })?;
        Ok(pool)
    }

    /// Returns the endpoints as they are now.
    pub(crate) fn snapshot(&self) -> Guard<Arc<PoolSnapshot>> {
        self.snapshot.load()
    }

    /// Returns the number of changes so far.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Changes the endpoints. `change` receives a function that adds an endpoint. An error changes
    /// nothing.
    ///
    /// `change` runs under a lock, so it calls no code of the user. The wakers and the destructors
    /// of the old endpoints run after it, because they may change the pool.
    pub(crate) fn edit<T, E>(
        &self,
        change: impl FnOnce(
            &mut Vec<ActiveEndpoint>,
            &dyn Fn(&mut Vec<ActiveEndpoint>, Endpoint) -> Result<(), InvalidConfig>,
        ) -> Result<T, E>,
    ) -> Result<T, E> {
        // The snapshot is replaced whole, so a panic cannot leave it inconsistent.
        let only = self.edit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.snapshot.load().all.clone();
        let new = |entries: &mut Vec<ActiveEndpoint>, endpoint: Endpoint| {
            let known = |entry: &ActiveEndpoint| entry.state.config.name == endpoint.name;
            if entries.iter().any(known) {
                let reason = "must be different for each endpoint";
                return Err(InvalidConfig::new("name", &endpoint.name, reason));
            }
            let signals = &self.shared.signals;
            let id = self.shared.ids.fetch_add(1, Ordering::Relaxed);
            entries.push(ActiveEndpoint::new(
                EndpointState::new(
                    endpoint,
                    id,
                    self.shared.start,
                    self.shared.config.learned_rates,
                    &signals.observers,
                )?,
                signals.clone(),
            ));
            Ok(())
        };
        let done = change(&mut all, &new)?;
        let version = self.version.load(Ordering::Relaxed) + 1;
        let snapshot = PoolSnapshot::new(version, all);
        let old = self.snapshot.swap(Arc::new(snapshot));
        self.version.store(version, Ordering::SeqCst);
        drop(only);
        drop(old);
        self.shared.signals.queue.wake_all(Instant::now());
        Ok(done)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("snapshot", &self.snapshot.load().all)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
