//! Endpoints that have never served a request, and do not answer the present ones.
//!
//! Each strategy sees such an endpoint as unused, so it would receive its share of all requests
//! until its attempts time out, which may take minutes. So if an attempt is unanswered for longer
//! than usual, the next requests go to the other endpoints of the tier. The endpoint is in doubt,
//! and not broken: once it answers, it is selected again. If its attempts end without an answer, it
//! gets one attempt at a time, and ever fewer of them. If all endpoints are in doubt, the strategy
//! decides, since slow answers are no fault.
//!
//! This costs a strategy a few requests of its order or of its affinity while the pool starts.

use std::time::Duration;

use tokio::time::Instant;

use crate::pool::snapshot::PoolSnapshot;
use crate::state::EndpointState;

/// The shortest time after which an unanswered attempt raises doubt. Many APIs answer sooner, and a
/// doubt without cause costs little.
pub(crate) const SHORTEST_SILENCE: Duration = Duration::from_millis(50);
/// The factor of the usual latency of the other endpoints.
const USUAL: u32 = 2;

/// The interval of attempts at an endpoint that has left one attempt unanswered. It doubles with each
/// further one.
const INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of doublings: half a minute.
const MAX_DOUBLINGS: u32 = 5;

/// Returns whether `endpoint` has never served a request, and leaves attempts unanswered.
#[inline]
pub(super) fn is_in_doubt(snapshot: &PoolSnapshot, endpoint: &EndpointState, now: Instant) -> bool {
    endpoint.load.is_unproven() && is_silent(snapshot, endpoint, now)
}

fn is_silent(snapshot: &PoolSnapshot, endpoint: &EndpointState, now: Instant) -> bool {
    let (load, since_start) = (&endpoint.load, endpoint.since_start(now));
    if let Some(doublings) = load.unanswered().checked_sub(1) {
        // One attempt at a time. Its predecessors timed out, or their callers left.
        let interval = INTERVAL * 2u32.pow(doublings.min(MAX_DOUBLINGS));
        return load.in_flight() > 0 || load.busy_for(since_start) < interval;
    }
    let silent = load.silent_for(since_start);
    let usual = || snapshot.usual_latency(endpoint).unwrap_or_default();
    load.in_flight() > 0 && silent >= SHORTEST_SILENCE && silent >= usual().saturating_mul(USUAL)
}
