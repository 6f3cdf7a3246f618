//! Recovery probes: requests that test an endpoint in a long cooldown before its end.
//!
//! A hint may be wrong, and a bill may be paid. Each endpoint and limit key gets at most one probe
//! per minute, also while other endpoints serve. A failed probe costs its request one failover. So
//! only a request that is safe to repeat is a probe.
//!
//! Exception: a cooldown that one caller may have caused is tested by any request that no endpoint
//! takes, also by one in the queue.

use std::time::Duration;

use steadfast_core::layer::{RecordAttempts, saturating_add};
use tokio::time::Instant;

use crate::pool::context::PoolContext;
use crate::pool::snapshot::ActiveEndpoint;
use crate::select::eligibility::{Eligibility, Stage};
use crate::select::request_context::RequestContext;
use crate::select::selector::Selection;
use crate::state::EndpointState;
use crate::state::cooldown::recovery::{Occasion, Recovery};
use crate::state::limits::limit_state::LimitState;

/// The longest wait for another endpoint that is preferred to tests of benches.
const SOON: Duration = Duration::from_secs(3);

impl PoolContext {
    /// Returns the endpoint that this request can test, if a recovery probe is due there.
    ///
    /// `selection` is the endpoint that would take the request otherwise.
    #[inline]
    pub(crate) fn recovery_probe(
        &self,
        context: &RequestContext,
        eligibility: &Eligibility<'_>,
        (skip, selection): (&[u64], Selection),
        now: Instant,
    ) -> Option<usize> {
        if !self.signals.recovery.is_due(|| self.since_start(now)) {
            return None;
        }
        self.search_recovery(context, eligibility, (skip, selection), now)
    }

    /// Searches the endpoints for a due recovery probe, and schedules the next search.
    #[cold]
    fn search_recovery(
        &self,
        context: &RequestContext,
        eligibility: &Eligibility<'_>,
        (skip, selection): (&[u64], Selection),
        now: Instant,
    ) -> Option<usize> {
        let age = |at: Instant| at.saturating_duration_since(self.start);
        let schedule = &self.signals.recovery;
        if !is_repeatable(context) || !schedule.begin_search(age(now)) {
            return None;
        }
        let active = eligibility.snapshot.active();
        let all = active.iter().map(|entry| &entry.state.limits);
        let next = all.filter_map(|limits| limits.next_recovery(now)).min();
        schedule.searched(next.map(age), age(now));
        // A lower tier or a degraded endpoint is not tested while a better one serves.
        let end = match selection {
            Selection::Endpoint(at) => end_of_group(active, at),
            _ => active.len(),
        };
        let all = active[..end].iter();
        due(all, (eligibility, Occasion::Probe), skip, now)
    }
}

/// Returns an endpoint that this request can test at once, because one caller may have caused its
/// cooldown. No other endpoint takes the request.
pub(crate) fn doubtful(
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<(usize, Occasion)> {
    let find = |occasion| {
        let all = eligibility.snapshot.active().iter();
        due(all, (eligibility, occasion), skip, now).map(|at| (at, occasion))
    };
    let of_any = || doubtful_for_any(eligibility, find, now);
    of_any().or_else(|| find(Occasion::OfCaller(eligibility.caller?)))
}

/// Returns the same for a request of any caller.
fn doubtful_for_any(
    eligibility: &Eligibility<'_>,
    find: impl Fn(Occasion) -> Option<(usize, Occasion)>,
    now: Instant,
) -> Option<(usize, Occasion)> {
    // Most rejections are for limits without a doubt.
    let in_service = find(Occasion::AloneInService)?;
    if has_slots(eligibility, now) {
        return find(Occasion::BesideSlots);
    }
    find(Occasion::Alone).or_else(|| is_in_service(eligibility, now).then_some(in_service))
}

/// Returns whether a caller is accused of the refusals of a limit that applies to the request.
pub(crate) fn has_accused(eligibility: &Eligibility<'_>) -> bool {
    let accuses = |limits: &LimitState| limits.cooldown.has_accused();
    let mut all = eligibility.snapshot.active().iter();
    all.any(|entry| (entry.state.limits).fold(eligibility.demand, accuses, |a, b| a || b))
}

/// Returns whether an endpoint takes the request at its send rate. So limits are known, and the
/// request waits for a slot.
fn has_slots(eligibility: &Eligibility<'_>, now: Instant) -> bool {
    let mut all = eligibility.snapshot.active().iter();
    all.any(|entry| eligibility.check(Stage::Next, &entry.state, now).is_paced())
}

/// Returns whether the pool has just served another request with the limits of this one, and no
/// limit ends soon.
fn is_in_service(eligibility: &Eligibility<'_>, now: Instant) -> bool {
    let demand = eligibility.demand;
    let serves = |endpoint: &EndpointState| {
        let Some(time) = endpoint.load.serves_within(endpoint.since_start(now)) else {
            return false;
        };
        let has_served = |limits: &LimitState| limits.cooldown.has_served_within(time, now);
        endpoint.limits.fold(demand, has_served, |a, b| a && b)
    };
    let soon = saturating_add(now, SOON);
    let is_soon = |endpoint: &EndpointState| {
        let end = (eligibility.check(Stage::Next, endpoint, now)).end_of_limit(now);
        end.is_some_and(|end| end <= soon)
    };
    let mut states = (eligibility.snapshot.active().iter()).map(|entry| &*entry.state);
    states.clone().any(serves) && !states.any(is_soon)
}

/// Returns when a request in the queue tests a bench that began while it waits, or the limit of an
/// accused caller.
///
/// Other cooldowns for a rate limit are short, and their ends wake the request.
pub(crate) fn next_test(
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<Instant> {
    let due = |endpoint| {
        let due = |occasion| due_at(endpoint, (eligibility, occasion), skip, now);
        let of_caller = eligibility.caller.map(Occasion::OfCaller).and_then(due);
        due(Occasion::BesideSlots)
            .into_iter()
            .chain(of_caller)
            .min()
    };
    // Most requests wait for a send rate, so the cheap check is first.
    (eligibility.snapshot.active().iter())
        .map(|entry| &*entry.state)
        .filter(|endpoint| endpoint.limits.cools(eligibility.demand, now))
        .filter_map(due)
        .min()
}

/// Returns the first untried endpoint with a due probe.
fn due<'a>(
    mut all: impl Iterator<Item = &'a ActiveEndpoint>,
    occasion: (&Eligibility<'_>, Occasion),
    skip: &[u64],
    now: Instant,
) -> Option<usize> {
    all.position(|entry| due_at(&entry.state, occasion, skip, now).is_some_and(|due| due <= now))
}

/// Returns when a probe of an untried endpoint is due.
fn due_at(
    endpoint: &EndpointState,
    (eligibility, occasion): (&Eligibility<'_>, Occasion),
    skip: &[u64],
    now: Instant,
) -> Option<Instant> {
    let is_possible = !skip.contains(&endpoint.id)
        && eligibility.admits(Stage::Untried, endpoint)
        && endpoint.breaker.at(now).would_admit();
    if !is_possible {
        return None;
    }
    match (endpoint.limits).recovery(eligibility.demand, occasion, now) {
        Recovery::At(due) => Some(due),
        _ => None,
    }
}

/// Returns whether the request can move to another endpoint, whatever the outcome of its first
/// attempt.
fn is_repeatable(context: &RequestContext) -> bool {
    let trail = context.trail.as_ref();
    trail.is_some_and(|trail| trail.is_empty() && trail.is_repeatable()) && !context.is_hedge()
}

/// Returns the end of the tier with the endpoint at `at`. The degraded endpoints of a tier follow
/// its other endpoints.
fn end_of_group(active: &[ActiveEndpoint], at: usize) -> usize {
    let group = active[at].group();
    active.partition_point(|entry| entry.group() <= group)
}
