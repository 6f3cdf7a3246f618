use std::time::Duration;

use steadfast_core::{Class, EndpointName, Trail};

use crate::handles::Handles;
use crate::snapshot::Snapshot;
use crate::tally::Tally;

/// The numbers that a layer and all its services share.
#[derive(Debug)]
pub(crate) struct Numbers {
    scope: Scope,
    handles: Handles,
    tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    Requests,
    Attempts,
}

/// The attempts and moves before an answer. Small, as it moves with the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    attempts: u32,
    failovers: u32,
}

// ===== impl Numbers =====

impl Numbers {
    pub(crate) fn requests() -> Self {
        Self::new(Scope::Requests, Handles::requests())
    }

    pub(crate) fn attempts(endpoint: &EndpointName) -> Self {
        Self::new(Scope::Attempts, Handles::attempts(endpoint))
    }

    fn new(scope: Scope, handles: Handles) -> Self {
        Self {
            scope,
            handles,
            tally: Tally::default(),
        }
    }

    pub(crate) fn is_of_attempts(&self) -> bool {
        self.scope == Scope::Attempts
    }

    pub(crate) fn start(&self) {
        self.tally.start();
        self.handles.record_start();
    }

    pub(crate) fn head(&self, class: Class, after: Duration) {
        self.handles.record_head(class, after);
    }

    /// Counts an end. There is no route after a cancellation.
    pub(crate) fn end(&self, class: Class, after: Duration, route: Option<Route>) {
        if let Some(route) = route {
            self.route(route);
        }
        self.tally.end(class);
        self.handles.record_end(class, after);
    }

    fn route(&self, route: Route) {
        let (attempts, failovers) = (route.attempts.into(), route.failovers.into());
        self.tally.route(attempts, failovers);
        if self.scope == Scope::Requests {
            self.handles.record_route(attempts, failovers);
        }
    }

    /// Returns the route to an answer with this trail.
    pub(crate) fn route_of(&self, trail: Option<&Trail>) -> Route {
        match trail {
            Some(trail) if self.scope == Scope::Requests => Route {
                attempts: count(trail.len()),
                failovers: count(trail.failovers()),
            },
            _ => Route {
                attempts: 1,
                failovers: 0,
            },
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.tally.snapshot()
    }
}

/// Returns a number of attempts, which is far below the largest one.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
