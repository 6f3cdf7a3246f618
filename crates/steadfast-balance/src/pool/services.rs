//! The services of the endpoints: one per endpoint, created once, shared by all clones.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::endpoint::Endpoint;
use crate::pool::Pool;
use crate::pool::snapshot::PoolSnapshot;
use crate::state::EndpointState;

/// A pool, and a service for each of its endpoints.
pub(crate) struct Services<S> {
    /// The pool of the endpoints.
    pub(crate) pool: Arc<Pool>,
    /// Creates the service of an endpoint.
    make: Box<dyn Fn(&Endpoint) -> S + Send + Sync>,
    /// The services of the present snapshot.
    current: ArcSwap<Reachable<S>>,
    /// Held while services are created for a new snapshot.
    renewal: Mutex<()>,
}

/// The endpoints of one snapshot, with their services.
pub(crate) struct Reachable<S> {
    /// The endpoints that the services belong to.
    pub(crate) snapshot: Arc<PoolSnapshot>,
    /// The services of the active endpoints, in their order.
    services: Vec<S>,
    /// The services of all endpoints by id. A disabled endpoint keeps its service.
    all: Vec<(u64, S)>,
}

impl<S> Reachable<S> {
    /// Returns the service of the active endpoint at this index.
    pub(crate) fn service(&self, at: usize) -> &S {
        &self.services[at]
    }
}

impl<S: Clone> Services<S> {
    /// Creates the services of all endpoints.
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

    /// Returns the services of the present snapshot.
    pub(crate) fn reachable(&self) -> Guard<Arc<Reachable<S>>> {
        let current = self.current.load();
        // The snapshot of an unfinished change may be visible already.
        if current.snapshot.version >= self.pool.version() {
            return current;
        }
        drop(current);
        self.renew();
        self.current.load()
    }

    /// Creates services for new endpoints, and keeps the others.
    #[cold]
    fn renew(&self) {
        // The list is replaced whole, so a panic cannot leave it inconsistent.
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
