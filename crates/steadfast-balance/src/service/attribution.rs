//! Failures that are evidence about their request, and not about the endpoints.
//!
//! A failure counts at the breaker at once, so that a broken endpoint is found as soon as ever. If
//! the request then fails alike at another endpoint, and one of them serves other requests
//! meanwhile, the request is at fault. Its failures are taken back, and with them an opening that
//! they caused. At endpoints that serve no request, all failures count.

use steadfast_breaker::FailureReceipt;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Attempt, BreakerEffect, Class, Trail, Verdict};
use tokio::time::Instant;

use crate::pool::Pool;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::request_context::RequestContext;
use crate::state::EndpointState;
use crate::state::bench::RequestId;
use crate::state::origin::Earlier;

/// Attributes the last failure of a request, at `endpoint`, to the endpoint or to the request.
pub(super) fn attribute(
    trail: &Trail,
    snapshot: &PoolSnapshot,
    endpoint: &EndpointState,
    verdict: Verdict,
    now: Instant,
) {
    if trail.len() < 2 || !can_be_caused_by_request(verdict) {
        return;
    }
    let is_alike = |attempt: &Attempt| {
        let other = attempt.verdict;
        other.class() == verdict.class() && can_be_caused_by_request(other)
    };
    let failed = endpoints_of(trail, snapshot, &is_alike);
    let is_elsewhere = |other: &&EndpointState| other.id != endpoint.id;
    let serves = |endpoint: &&EndpointState| endpoint.serves(now) && was_beside(trail, endpoint);
    if !failed.iter().any(is_elsewhere) || !failed.iter().any(serves) {
        return;
    }
    trail.set_at_fault();
    for (id, receipt) in trail.take_receipts(&is_alike) {
        if let Some(endpoint) = failed.iter().find(|endpoint| endpoint.id == id) {
            endpoint.load.served.excuse();
            let receipt = FailureReceipt::from_bits(receipt);
            endpoint.breaker.take_back(receipt);
        }
    }
}

/// Returns whether the request was refused alike at another endpoint that still takes such
/// requests. A refusal for a bench reason concerns only the request then.
pub(super) fn is_refused_elsewhere(
    context: &RequestContext,
    snapshot: &PoolSnapshot,
    endpoint: &EndpointState,
    class: Class,
    now: Instant,
) -> bool {
    let others = refused_alike(context, snapshot, class);
    let mut others = others.iter().filter(|other| other.id != endpoint.id);
    others.any(|other| serves_others(other, context, class, now))
}

/// Returns whether a refusal of this class has left the endpoint, or its key, in service.
pub(super) fn serves_others(
    endpoint: &EndpointState,
    context: &RequestContext,
    class: Class,
    now: Instant,
) -> bool {
    match class {
        Class::ModelUnavailable => endpoint.limits.would_admit(&context.demand, now),
        // A limit of its own key is no evidence about the others.
        _ => endpoint.limits.account_would_admit(&context.demand, now),
    }
}

/// Ends the benches that this request alone has begun, because an endpoint that serves others has
/// refused it alike.
pub(super) fn take_back_benches(
    context: &RequestContext,
    (pool, snapshot): (&Pool, &PoolSnapshot),
    (class, request): (Class, RequestId),
    now: Instant,
) {
    for state in refused_alike(context, snapshot, class) {
        for concerned in state.limits.take_back_benches(request, now) {
            let ended = concerned.ended(state.config.name.clone());
            pool.shared.signals.observers.emit(&ended);
        }
    }
}

/// Returns the endpoints that have refused the request with this class.
fn refused_alike<'a>(
    context: &RequestContext,
    snapshot: &'a PoolSnapshot,
    class: Class,
) -> Vec<&'a EndpointState> {
    let is_alike = |attempt: &Attempt| attempt.verdict.class() == class;
    let trail = context.trail.as_ref().filter(|trail| !trail.is_empty());
    trail.map_or_else(Vec::new, |trail| endpoints_of(trail, snapshot, &is_alike))
}

/// Returns the refusals of the request for a rate limit before this one, at `endpoint`.
pub(super) fn earlier_refusals(
    context: &RequestContext,
    endpoint: &EndpointState,
    class: Class,
) -> Option<Earlier> {
    let trail = (context.trail.as_ref()).filter(|_| class == Class::RateLimited)?;
    let name = Some(&endpoint.config.name);
    trail.with_attempts(|attempts| {
        let mut here = attempts.filter(|attempt| {
            attempt.endpoint.as_ref() == name && attempt.verdict.class() == Class::RateLimited
        });
        let first = here.next()?;
        let last = here.last();
        let (since, is_only) = (last.unwrap_or(first).started, last.is_none());
        Some(Earlier { since, is_only })
    })
}

/// Returns whether `endpoint` answered other requests beside an attempt of this one. It may be
/// silent since it served others before.
fn was_beside(trail: &Trail, endpoint: &EndpointState) -> bool {
    trail.with_attempts(|attempts| {
        let beside = attempts.filter(|attempt| {
            attempt.endpoint.as_ref() == Some(&endpoint.config.name)
                && (!attempt.silent || endpoint.has_served_since(attempt.started))
        });
        beside.count() > 0
    })
}

/// Returns whether a request can cause this failure at any endpoint. A failed connect never depends
/// on the request, and a server that names a time knows that it is overloaded.
///
/// A true overload of both endpoints is excused as well, while one of them serves other requests. A
/// breaker would take away what it still serves.
fn can_be_caused_by_request(verdict: Verdict) -> bool {
    let can_be = match verdict.class() {
        Class::ServerError | Class::Timeout | Class::Transport => true,
        Class::Overloaded => verdict.hint().is_none(),
        _ => false,
    };
    can_be && verdict.breaker() == BreakerEffect::Failure
}

/// Returns the endpoints of the attempts that match `wanted`.
fn endpoints_of<'a>(
    trail: &Trail,
    snapshot: &'a PoolSnapshot,
    wanted: &dyn Fn(&Attempt) -> bool,
) -> Vec<&'a EndpointState> {
    trail.with_attempts(|attempts| {
        let names: Vec<_> = attempts
            .filter(|attempt| wanted(attempt))
            .filter_map(|attempt| attempt.endpoint.as_ref())
            .collect();
        let all = snapshot.all.iter().map(|entry| &*entry.state);
        all.filter(|endpoint| names.contains(&&endpoint.config.name))
            .collect()
    })
}
