//! Waits for a limit that lead nowhere.
//!
//! A hint is worth a wait unless evidence contradicts it: every endpoint of the request is limited,
//! its last hint was followed and refused again, other requests were turned away meanwhile, and
//! none was served since. A further wait would then cost the caller its time, and save nothing. The
//! answer with the true time comes at once instead, and the caller decides.
//!
//! This costs the requests that the next hint would have served after all. So a wait within half
//! the bound of an overload is always tried, and so is a short correction of a long hint. Callers
//! with a deadline have stated their patience and wait for any hint that fits.
//!
//! A hint fits if the deadline also leaves the time of an answer. A refusal is the fastest one, so
//! twice the time of the last refusal has to be left. Otherwise the attempt would be cancelled, and
//! an endpoint that refuses everything would get a further one.

use steadfast_core::layer::{Next, saturating_add};
use tokio::time::Instant;

use crate::exhausted::WhenExhausted;
use crate::pool::context::PoolContext;
use crate::select::eligibility::{Eligibility, Stage};
use crate::select::request_context::RequestContext;
use crate::state::EndpointState;
use crate::state::availability::Availability;
use crate::state::limits::limit_state::LimitState;

/// The part of the wait so far that a corrected hint may add. A hint of 20 s that was half a second
/// too short is followed by one of 1 s.
const CORRECTION: u32 = 4;

impl PoolContext {
    /// Returns the next attempt of a request that a limit turns away until `at`.
    pub(super) fn after_limit(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        at: Instant,
        now: Instant,
    ) -> Next {
        if is_too_late(eligibility, context, at, now)
            || self.is_in_vain(eligibility, context, at, now)
        {
            Next::Later(at)
        } else {
            Next::At(at)
        }
    }

    /// Returns whether a request that is younger than the bound of an overload stops its wait in
    /// the queue, because its endpoints have begun to cool again.
    pub(crate) fn leaves_in_vain(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        now: Instant,
    ) -> bool {
        let age = now.saturating_duration_since(eligibility.since(now));
        let at = || eligibility.end_of_limit(now);
        // The queue decides about older requests. The limits of all endpoints come last: their
        // check takes longer than all else.
        age < self.config.overload_wait()
            && !self.is_stated(context)
            && at().is_some_and(|at| self.is_in_vain(eligibility, context, at, now))
    }

    /// Returns whether the patience of a request is stated, or nothing is known about it.
    fn is_stated(&self, context: &RequestContext) -> bool {
        context.deadline.is_some()
            || context.trail.is_none()
            || self.config.when_exhausted == WhenExhausted::Wait
    }

    /// Returns whether evidence shows that the wait until `at` leads nowhere.
    fn is_in_vain(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        at: Instant,
        now: Instant,
    ) -> bool {
        let since = eligibility.since(now);
        // The other half of the bound is left for the attempts and their jitter.
        if self.is_stated(context) || at <= saturating_add(since, self.config.overload_wait() / 2) {
            return false;
        }
        let correction = now.saturating_duration_since(since) / CORRECTION;
        match vain_hints(eligibility, now) {
            0 => false,
            1 => at.saturating_duration_since(now) > correction,
            _ => true,
        }
    }
}

/// Returns whether the deadline of the request leaves no time for an answer after the wait until
/// `at`.
fn is_too_late(
    eligibility: &Eligibility<'_>,
    context: &RequestContext,
    at: Instant,
    now: Instant,
) -> bool {
    let Some(deadline) = context.deadline else {
        return false;
    };
    let patience = |limits: &LimitState| limits.cooldown.patience();
    let fastest = endpoints(eligibility)
        .filter_map(|endpoint| (endpoint.limits).fold(eligibility.demand, patience, Option::max))
        .min();
    // A slow refusal must not rule out the wait, so the margin is at most half the time.
    let margin = fastest.unwrap_or_default().min(deadline.remaining(now) / 2);
    saturating_add(at, margin) > deadline.instant()
}

/// Records that the limits of all its endpoints turn a request away.
pub(super) fn turn_away(eligibility: &Eligibility<'_>, context: &RequestContext) {
    let Some(request) = context.identity() else {
        return;
    };
    for endpoint in endpoints(eligibility) {
        endpoint.limits.turn_away(eligibility.demand, request);
    }
}

/// Returns the smallest number of hints that were followed in vain at an endpoint of the request.
/// Zero if an endpoint is not limited, or if no other request was turned away.
fn vain_hints(eligibility: &Eligibility<'_>, now: Instant) -> u32 {
    let hints = endpoints(eligibility).filter_map(|endpoint| {
        match eligibility.check(Stage::Ever, endpoint, now) {
            // The breaker decides, and not a limit.
            Availability::Broken { .. } | Availability::Never => None,
            Availability::Now | Availability::Paced(_) => Some(0),
            Availability::Limited(_) => {
                let hints = |limits: &LimitState| limits.cooldown.vain_hints();
                Some(endpoint.limits.fold(eligibility.demand, hints, u32::max))
            }
        }
    });
    hints.min().unwrap_or_default()
}

/// Returns the endpoints that may take the request at some time.
fn endpoints<'a>(eligibility: &'a Eligibility<'_>) -> impl Iterator<Item = &'a EndpointState> {
    let active = eligibility.snapshot.active().iter();
    let states = active.map(|entry| &*entry.state);
    states.filter(|endpoint| eligibility.admits(Stage::Ever, endpoint))
}
