//! The services of the endpoints: one for each, made once, and shared by all clones.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::endpoint::Endpoint;
use crate::member::Member;
use crate::members::Members;
use crate::pool::Pool;

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
    pub(crate) members: Arc<Members>,
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
                members: Arc::new(Members::default()),
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
        if current.members.version >= self.pool.version() {
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
        let members = Arc::clone(&self.pool.members());
        let before = self.current.load();
        if before.members.version == members.version {
            return;
        }
        let service = |all: &[(u64, S)], id: u64| {
            let known = all.iter().find(|(known, _)| *known == id);
            known.map(|(_, service)| service.clone())
        };
        let make = |member: &Member| {
            let known = service(&before.all, member.id);
            (
                member.id,
                known.unwrap_or_else(|| (self.make)(&member.endpoint)),
            )
        };
        let all: Vec<_> = members
            .all
            .iter()
            .map(|entry| make(&entry.member))
            .collect();
        let active = members.active().iter();
        let services = active
            .filter_map(|entry| service(&all, entry.member.id))
            .collect();
        self.current.store(Arc::new(Reachable {
            members,
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
