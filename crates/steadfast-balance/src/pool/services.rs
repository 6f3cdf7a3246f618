//! The services of the endpoints: one for each, made once, and shared by all clones.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::endpoint::Endpoint;
use crate::pool::Pool;
use crate::pool::snapshot::PoolSnapshot;
use crate::state::EndpointState;

/// A pool, and for each of its endpoints a service that reaches it.
///
/// Apart from its reference count, which each request writes and nobody reads.
#[repr(align(128))]
pub(crate) struct Services<S> {
    pub(crate) pool: Arc<Pool>,
    make: Box<dyn Fn(&Endpoint) -> S + Send + Sync>,
    current: ArcSwap<Reachable<S>>,
    renewal: Mutex<()>,
}

/// The endpoints of one moment.
pub(crate) struct Reachable<S> {
    pub(crate) snapshot: Arc<PoolSnapshot>,
    /// In the order of the active ones.
    services: Vec<S>,
    /// Those of all, by the id of the endpoint. One that is disabled keeps its own.
    all: Vec<(u64, S)>,
}

impl<S> Reachable<S> {
    pub(crate) fn service(&self, at: usize) -> &S {
        &self.services[at]
    }
}

impl<S: Clone> Services<S> {
    pub(crate) fn new(
        pool: Arc<Pool>,
        make: impl Fn(&Endpoint) -> S + Send + Sync + 'static,
    ) -> Self {
        let services = Self {
            pool,
            make: Box::new(make),
            current: ArcSwap::from_pointee(Reachable {
                snapshot: Arc::new(PoolSnapshot::default()),
                services: Vec::new(),
                all: Vec::new(),
            }),
            renewal: Mutex::new(()),
        };
        services.renew();
        services
    }

    /// Returns the endpoints that there are now.
    pub(crate) fn reachable(&self) -> Guard<Arc<Reachable<S>>> {
        let current = self.current.load();
        // A change that is not finished may have come here already.
        if current.snapshot.version >= self.pool.version() {
            return current;
        }
        drop(current);
        self.renew();
        self.current.load()
    }

    /// Makes services for endpoints that are new, and keeps the others.
    #[cold]
    fn renew(&self) {
        // The list is written whole, so a panic cannot have broken it.
        let _only = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = Arc::clone(&self.pool.snapshot());
        let before = self.current.load();
        if before.snapshot.version == snapshot.version {
            return;
        }
        let service = |all: &[(u64, S)], id: u64| {
            let known = all.iter().find(|(known, _)| *known == id);
            known.map(|(_, service)| service.clone())
        };
        let make = |endpoint: &EndpointState| {
            let known = service(&before.all, endpoint.id);
            (
                endpoint.id,
                known.unwrap_or_else(|| (self.make)(&endpoint.config)),
            )
        };
        let all: Vec<_> = snapshot
            .all
            .iter()
            .map(|entry| make(&entry.state))
            .collect();
        let active = snapshot.active().iter();
        let services = active
            .filter_map(|entry| service(&all, entry.state.id))
            .collect();
        self.current.store(Arc::new(Reachable {
            snapshot,
            services,
            all,
        }));
    }
}

impl<S> fmt::Debug for Services<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pool, f)
    }
}
