//! The outlook of a request that no endpoint serves: the root cause, the recovery and the reasons.

use std::fmt::{self, Write};

use steadfast_core::{Attempt, Class};
use tokio::time::Instant;

use crate::pool::snapshot::PoolSnapshot;
use crate::select::obstacle::Obstacle;
use crate::select::request_context::RequestContext;

/// The number of endpoints with a clause of their own.
const NAMED: usize = 8;

/// The outlook of a request that no endpoint serves.
#[derive(Debug)]
pub(crate) struct Outlook {
    /// The class of the root cause: the least persistent obstacle of the lowest tier.
    pub(crate) class: Class,
    /// When an endpoint can take the request, which may be now, or `None` if it is unknown.
    pub(crate) recovery: Option<Instant>,
    /// The clause of each endpoint.
    pub(crate) reasons: String,
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
        let mut reasons = String::new();
        for (n, entry) in snapshot.all.iter().enumerate() {
            let obstacle = Obstacle::of(entry, context, tried, now);
            let end = obstacle.end(now);
            recovery = recovery.into_iter().chain(end).min();
            root.add((entry.tier, obstacle.persistence(), end), obstacle.class());
            let name = entry.state.config.name.as_str();
            add_clause(&mut reasons, n, |out| obstacle.write(name, now, out));
        }
        let more = snapshot.all.len().saturating_sub(NAMED);
        if more > 0 {
            write!(reasons, "; {more} more").expect("a string");
        }
        Self {
            class: root.0.map_or(Class::Overloaded, |(_, class)| class),
            recovery,
            reasons,
        }
    }
}

impl Root {
    /// Keeps the least obstacle. A caller that learns of a bench gives up, although another endpoint
    /// of the tier may serve soon.
    fn add(&mut self, order: Order, class: Option<Class>) {
        let is_less = self.0.is_none_or(|(least, _)| order < least);
        if let Some(class) = class.filter(|_| is_less) {
            self.0 = Some((order, class));
        }
    }
}

/// Adds the clause with this number, unless there are too many.
fn add_clause(reasons: &mut String, n: usize, write: impl FnOnce(&mut String) -> fmt::Result) {
    if n >= NAMED {
        return;
    }
    if n > 0 {
        reasons.push_str("; ");
    }
    write(reasons).expect("a string");
}
