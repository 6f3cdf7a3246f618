//! The start of a bench, and its early end by evidence or by a health check.
//!
//! A refusal for a bench reason is a hypothesis, as a refusal for a rate limit is. An endpoint with
//! a spent quota or a revoked credential serves no request. So while the endpoint serves others,
//! the refusal concerns only its own request.

use std::time::Duration;

use tokio::time::Instant;

use super::{Cooldown, Pass, Phase, State, Ticket};
use crate::state::bench::{Cause, RequestId};
use crate::state::millis::millis;

/// An endpoint serves others if one of them was sent and served within this time.
const RECENT: Duration = Duration::from_secs(10);
/// The refusals since the last success that concern only their own requests. With more of them, the
/// endpoint must have served within [`BUSY_RECENT`].
const MAX_EXCUSED: u32 = 50;
/// The time for [`RECENT`] at an endpoint with many refusals.
const BUSY_RECENT: Duration = Duration::from_secs(1);

/// The reason of a cooldown, for health checks.
#[cfg(feature = "health")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cooling {
    /// A limit or an order. Time alone ends the cooldown.
    Limited,
    /// A bench that began with a refusal after a check had ended the previous one. The check does
    /// not detect the fault.
    Refuted,
    /// The bench of this generation.
    Benched(u64),
}

impl Cooldown {
    /// Begins a bench after a refusal, unless the endpoint serves others. Otherwise, calls
    /// `is_credible`, which may count refusals. Its argument is whether the refused attempt was the
    /// probe after a bench of the same class.
    ///
    /// Returns the length, or `None` if no bench begins.
    pub(crate) fn benched(
        &self,
        ticket: Ticket,
        cause: &Cause,
        now: Instant,
        is_credible: impl FnOnce(bool) -> bool,
    ) -> Option<Duration> {
        let mut state = self.lock();
        if ticket.generation != state.generation {
            state.confirm_bench(ticket, cause);
            self.publish(&state);
            return None;
        }
        if ticket.is_test() {
            state.confirm_by(cause);
            self.publish(&state);
            return None;
        }
        let is_again = ticket.pass == Pass::Probe && state.escalation.is_again(cause.class);
        let is_excused = cause.is_own || !is_again && self.excuses(&mut state, ticket, cause);
        if is_excused || !is_credible(is_again) {
            state.release(ticket);
            return None;
        }
        state.set_patience(cause.took);
        let streak = state.streak_with(ticket);
        state.set_streak(streak);
        let wait = state.escalation.next(cause);
        let wait = self.cool(&mut state, wait, cause.trigger, now);
        state.bench = true;
        let is_single = state.escalation.is_single();
        state.refutable = is_single.then_some(ticket.sent);
        // Different requests may be of one caller. Its own limits need a doubt only about a lone
        // request, at an endpoint that has served the caller.
        state.doubtful = !state.of_one_caller || is_single && self.has_served();
        self.publish(&state);
        Some(wait)
    }

    /// Removes a request that is at fault from the evidence. Without any other evidence, the
    /// present bench ends.
    pub(crate) fn take_back_bench(&self, request: RequestId, now: Instant) -> bool {
        let mut state = self.lock();
        let cools = matches!(state.phase, Phase::Cooling { .. });
        if !cools || !state.bench || !state.escalation.take_back(request) {
            return false;
        }
        state.refutable = None;
        state.escalation.reset();
        state.clear(now);
        let ended = !std::mem::replace(&mut state.back, true);
        self.publish(&state);
        ended
    }

    /// Returns whether the endpoint serves others, so that a refusal concerns only its own request.
    fn excuses(&self, state: &mut State, ticket: Ticket, cause: &Cause) -> bool {
        let newest = self.newest_success();
        if newest == 0 {
            return false;
        }
        let (at, count) = state.excused;
        let count = if at == newest { count } else { 0 };
        state.excused = (newest, count.saturating_add(1));
        let recent = if count < MAX_EXCUSED {
            RECENT
        } else {
            BUSY_RECENT
        };
        // The success of a slow answer was sent long ago.
        let recent = recent.max(cause.latency.unwrap_or_default().saturating_mul(4));
        let sent = millis(ticket.sent.saturating_duration_since(self.origin));
        sent.saturating_sub(newest) <= millis(recent)
    }
}

impl State {
    /// Records the refusal of an attempt that was in flight when the present bench began.
    fn confirm_bench(&mut self, ticket: Ticket, cause: &Cause) {
        if self.refutable.is_some_and(|sent| sent <= ticket.sent) {
            self.confirm_by(cause);
        }
    }

    /// Ends the present bench if this success contradicts it. Returns whether it does.
    pub(super) fn refutes_bench(&mut self, ticket: Ticket, now: Instant) -> bool {
        let is_newer = self.refutable.is_some_and(|sent| sent <= ticket.sent);
        if !is_newer || !self.bench {
            return false;
        }
        self.refutable = None;
        if !matches!(self.phase, Phase::Cooling { .. }) {
            return false;
        }
        self.escalation.reset();
        self.clear(now);
        !std::mem::replace(&mut self.back, true)
    }
}

#[cfg(feature = "health")]
impl Cooldown {
    /// Returns the reason of the present cooldown, if the endpoint cools.
    pub(crate) fn cooling(&self, now: Instant) -> Option<Cooling> {
        let state = self.lock();
        if !matches!(state.phase, Phase::Cooling { until } if until > now) {
            return None;
        }
        let generation = state.generation;
        // The bench began with the probe that followed the check.
        let follows = state
            .checks
            .ended
            .is_some_and(|ended| generation == ended + 1);
        Some(match (state.bench, follows && state.streak > 0) {
            (false, _) => Cooling::Limited,
            (true, true) => Cooling::Refuted,
            (true, false) => Cooling::Benched(generation),
        })
    }

    /// Counts a check of the bench of this generation. After `healthy` consecutive passed checks,
    /// ends the bench, if it still lasts, so that a probe is admissible at once.
    ///
    /// Returns whether the bench ends.
    pub(crate) fn check_bench(
        &self,
        (generation, has_passed): (u64, bool),
        healthy: u32,
        now: Instant,
    ) -> bool {
        let mut state = self.lock();
        let (known, before) = state.checks.passed;
        let before = if known == generation { before } else { 0 };
        let passed = if has_passed { before + 1 } else { 0 };
        state.checks.passed = (generation, passed);
        let ends = passed >= healthy && state.generation == generation && state.end(now);
        if ends {
            state.checks.ended = Some(generation);
            self.publish(&state);
        }
        ends
    }
}

#[cfg(test)]
mod tests;
