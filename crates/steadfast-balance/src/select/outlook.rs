//! The outlook of a request that no endpoint serves: the root cause, the recovery and the reasons.

use std::fmt;
use std::sync::Arc;

use steadfast_core::{Attempt, Class, EndpointName};
use tokio::time::Instant;

use crate::pool::snapshot::{EndpointMode, PoolSnapshot};
use crate::select::obstacle::Obstacle;
use crate::select::request_context::RequestContext;

/// The number of endpoints with a clause of their own. A clause has about 60 characters, so a
/// message of larger pools would exceed 4 KB.
const NAMED: usize = 64;

/// The outlook of a request that no endpoint serves.
#[derive(Debug)]
pub(crate) struct Outlook {
    /// The class of the root cause: the least persistent obstacle of the lowest tier.
    pub(crate) class: Class,
    /// When an endpoint can take the request, which may be now, or `None` if it is unknown.
    pub(crate) recovery: Option<Instant>,
    /// When the first limit of an active endpoint ends for any request with these limits, which may
    /// be now. Broken endpoints do not count.
    pub(crate) end_of_limit: Option<Instant>,
    /// The clause of each endpoint, or `None` without endpoints.
    pub(crate) reasons: Option<Arc<Clauses>>,
}

/// The clause of each endpoint.
#[derive(Debug)]
pub(crate) struct Clauses {
    /// The first endpoints with their obstacles.
    named: Vec<(EndpointName, Obstacle)>,
    /// The number of further endpoints.
    more: usize,
    /// The instant of the rejection.
    now: Instant,
}

/// The obstacle that gives its class to a rejection.
#[derive(Default)]
struct Root(Option<(Order, Class)>);

/// The order of obstacles: by tier, by persistence, and by their end.
type Order = (u16, u8, Option<Instant>);

impl Outlook {
    /// Returns the outlook of a request with these attempts at `now`.
    pub(crate) fn of(
        snapshot: &PoolSnapshot,
        context: &RequestContext,
        tried: &[Attempt],
        now: Instant,
    ) -> Self {
        let (mut root, mut recovery) = (Root::default(), None::<Instant>);
        let mut end_of_limit = None::<Instant>;
        let count = snapshot.all.len();
        let mut named = Vec::with_capacity(count.min(NAMED));
        for entry in &snapshot.all {
            let availability = entry.state.availability(&context.demand, now);
            let obstacle = Obstacle::of((entry, availability), context, tried, now);
            let end = obstacle.end(now);
            recovery = recovery.into_iter().chain(end).min();
            if entry.service == EndpointMode::Enabled {
                let limited = availability.end_of_limit(now);
                end_of_limit = end_of_limit.into_iter().chain(limited).min();
            }
            root.add((entry.tier, obstacle.persistence(), end), obstacle.class());
            if named.len() < NAMED {
                named.push((entry.state.config.name.clone(), obstacle));
            }
        }
        let more = count - named.len();
        let reasons = (count > 0).then(|| Arc::new(Clauses { named, more, now }));
        Self {
            class: root.0.map_or(Class::Overloaded, |(_, class)| class),
            recovery,
            end_of_limit,
            reasons,
        }
    }
}

impl Root {
    /// Keeps the least obstacle. A caller that learns of a bench gives up, although another
    /// endpoint of the tier may serve soon.
    fn add(&mut self, order: Order, class: Option<Class>) {
        let is_less = self.0.is_none_or(|(least, _)| order < least);
        if let Some(class) = class.filter(|_| is_less) {
            self.0 = Some((order, class));
        }
    }
}

impl fmt::Display for Clauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, obstacle)) in self.named.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            obstacle.write(name.as_str(), self.now, f)?;
        }
        if self.more > 0 {
            write!(f, "; {} more", self.more)?;
        }
        Ok(())
    }
}
