//! The events of attempts that move to another endpoint.

use steadfast_core::layer::{AttemptGroup, RecordAttempts};
use steadfast_core::{Attempt, EndpointName, Event};
use tokio::time::Instant;

use crate::pool::context::PoolContext;
use crate::select::request_context::RequestContext;

/// Emits the hedge of an attempt at `to`.
fn emit_hedge(shared: &PoolContext, group: &AttemptGroup, to: &EndpointName, now: Instant) {
    if let Some(from) = group.endpoints().into_iter().find(|from| from != to) {
        shared.signals.observers.emit(&Event::Hedge {
            from,
            to: to.clone(),
            after: group.age(now),
        });
    }
}

/// Emits a failover or a hedge, if the next attempt of the request is one.
pub(crate) fn emit_failover(
    shared: &PoolContext,
    context: &RequestContext,
    to: &EndpointName,
    now: Instant,
) {
    if let Some(group) = context.group.as_ref().filter(|group| group.is_hedge()) {
        if let Some(trail) = &context.trail {
            trail.set_hedged();
        }
        return emit_hedge(shared, group, to, now);
    }
    let event = last_attempt(context).and_then(|last| failover(last, to, now));
    if let Some(event) = event {
        shared.signals.observers.emit(&event);
    }
}

/// Returns the failover to `to`, if `last` was at another endpoint.
fn failover(last: Attempt, to: &EndpointName, now: Instant) -> Option<Event> {
    let from = last.endpoint.filter(|from| from != to)?;
    Some(Event::Failover {
        from,
        to: to.clone(),
        class: last.verdict.class(),
        after: now.saturating_duration_since(last.started + last.elapsed),
    })
}

/// Returns the last attempt of the request.
///
/// If the trail is empty, which is the common case, it is not locked.
fn last_attempt(context: &RequestContext) -> Option<Attempt> {
    let tried = context.trail.as_ref().filter(|trail| !trail.is_empty());
    tried.and_then(|trail| trail.last())
}
