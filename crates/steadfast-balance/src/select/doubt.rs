//! Endpoints that do not answer.
//!
//! Each strategy sees an endpoint that has never served a request as unused. So it would receive
//! its share of all requests until its attempts time out, which may take minutes. Instead, if an
//! attempt is unanswered for longer than usual, the next requests go to the other endpoints of the
//! tier.
//!
//! The endpoint is in doubt, and not broken: once it answers, it is selected again. If its attempts
//! end without an answer, it gets one attempt at a time, and ever fewer of them. If all endpoints
//! are in doubt, the strategy decides, since slow answers are no fault.
//!
//! An endpoint that has served requests is in doubt if attempts wait for it and it has answered
//! none of them for longer than its answers seldom take. Otherwise all requests until its first
//! timeout would wait for theirs. One request every two seconds tests whether only these attempts
//! are slow. After an attempt that timed out the endpoint remains in doubt. At low traffic its
//! breaker would open only after several such requests.
//!
//! This costs a strategy a few requests of its order or of its affinity: one answer in a hundred is
//! that slow.

use std::time::Duration;

use crate::pool::snapshot::PoolSnapshot;
use crate::select::pick_context::PickContext;
use crate::state::EndpointState;

/// The shortest time after which an unanswered attempt raises doubt. Many APIs answer sooner, and a
/// doubt without cause costs little.
pub(crate) const SHORTEST_SILENCE: Duration = Duration::from_millis(50);
/// The factor of the usual latency, of the other endpoints if the endpoint has no success.
const USUAL: u32 = 2;

/// The interval of attempts at an endpoint in doubt that has served. The attempts that wait for it
/// may be slow ones, and others would be answered.
const TEST_INTERVAL: Duration = Duration::from_secs(2);
/// The shortest interval of attempts at an endpoint that has left one attempt unanswered. It
/// doubles with each further one.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval.
const LONGEST_INTERVAL: Duration = Duration::from_secs(32);
/// The shortest interval in times of the last silence. Each attempt costs a request as much.
const OF_SILENCE: u32 = 4;

/// Returns whether `endpoint` leaves attempts unanswered.
#[inline]
pub(super) fn is_in_doubt(
    snapshot: &PoolSnapshot,
    endpoint: &EndpointState,
    request: &PickContext<'_>,
) -> bool {
    let load = &endpoint.load;
    (load.is_awaited() || load.unanswered() > 0) && is_silent(snapshot, endpoint, request)
}

/// Apart, so that the check of a healthy endpoint stays in registers.
#[inline(never)]
fn is_silent(snapshot: &PoolSnapshot, endpoint: &EndpointState, request: &PickContext<'_>) -> bool {
    let (load, since_start) = (&endpoint.load, endpoint.since_start(request.now));
    let silent = load.silent_for(since_start);
    if let Some(doublings) = load.unanswered().checked_sub(1) {
        // One attempt at a time. Its predecessors timed out, or their callers left.
        return load.is_awaited() || silent < interval_after(load.silence(), doublings);
    }
    if silent < SHORTEST_SILENCE {
        return false;
    }
    let usual = snapshot.usual_latency(endpoint).unwrap_or_default();
    let seldom = load.latency.seldom_more();
    let is_due = seldom.is_some() && load.unsent_for(since_start) >= TEST_INTERVAL;
    !is_due && silent >= usual.saturating_mul(USUAL).max(seldom.unwrap_or_default())
}

/// Returns the interval of attempts after a last silence, and this number of doublings.
fn interval_after(silence: Duration, doublings: u32) -> Duration {
    let first = silence.saturating_mul(OF_SILENCE).max(SHORTEST_INTERVAL);
    let interval = first.saturating_mul(2u32.saturating_pow(doublings));
    interval.min(LONGEST_INTERVAL)
}
