//! The events of attempts that move to another endpoint.

use steadfast_core::layer::AttemptGroup;
use steadfast_core::{Attempt, EndpointName, Event};
use tokio::time::Instant;

use crate::pool::context::PoolContext;
use crate::select::request_context::RequestContext;

fn emit_hedge(shared: &PoolContext, group: &AttemptGroup, to: &EndpointName, now: Instant) {
    if let Some(from) = group.endpoints().into_iter().find(|from| from != to) {
        shared.signals.observers.emit(&Event::Hedge {
            from,
            to: to.clone(),
            after: group.age(now),
        });
    }
}

/// Emits the failover or the hedge that the next attempt of a request is, if it is one.
pub(crate) fn emit_failover(
    shared: &PoolContext,
    context: &RequestContext,
    to: &EndpointName,
    now: Instant,
) {
    if let Some(group) = context.group.as_ref().filter(|group| group.is_hedge()) {
        return emit_hedge(shared, group, to, now);
    }
    let Some(last) = last_attempt(context) else {
        return;
    };
    if let Some(from) = last.endpoint.filter(|from| from != to) {
        let ended = last.started + last.elapsed;
        shared.signals.observers.emit(&Event::Failover {
            from,
            to: to.clone(),
            class: last.verdict.class(),
            after: now.saturating_duration_since(ended),
        });
    }
}

/// Returns the last attempt of the request. A first attempt, the common case, does not lock the
/// trail.
fn last_attempt(context: &RequestContext) -> Option<Attempt> {
    let tried = context.trail.as_ref().filter(|trail| !trail.is_empty());
    tried.and_then(|trail| trail.last())
}
