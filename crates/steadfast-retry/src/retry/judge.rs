//! The decision after an attempt.

use std::error::Error;

use std::time::Duration;

use http::Response;
use http_body::Body;
use steadfast_core::layer::{RecordAttempts, verdict_of};
use steadfast_core::{
    Attempt, BoxError, BreakerEffect, Class, Deadline, Event, Exhausted, SameEndpoint, Trail,
    Verdict, Withdrawal,
};
use tokio::time::Instant;
use tracing::Span;

use super::past::Past;
use super::state::Retry;
use crate::answer::ResponseBody;
use crate::attempt;
use crate::mode::BodyMode;
use crate::policy::{Decision, Limits, Outcome, Spent, caller_of};

/// The next step of a request.
pub(crate) enum Step<Res> {
    Done(Result<Res, BoxError>),
    /// Send the request again after this time, which may be zero.
    Again(Duration),
}

/// The attempt that follows.
struct Planned {
    /// The wait before the next attempt.
    wait: Duration,
    /// Whether the next attempt counts against the limit of attempts.
    counts: bool,
    /// Whether an endpoint was tried since the last wait.
    attempted: bool,
    /// The tokens that the next attempt costs.
    cost: Option<Withdrawal>,
    /// The number of the last refusal.
    refused: Option<u32>,
}

impl<S, K, B: Body> Retry<S, K, B> {
    /// Judges the outcome of an attempt, and ends the account of a success.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        outcome: &Result<Response<B>, BoxError>,
        span: &Span,
    ) -> Verdict {
        let verdict = verdict_of(
            outcome
                .as_ref()
                .map_err(|error| &**error as &(dyn Error + 'static)),
        );
        attempt::record(span, verdict, outcome.as_ref().ok().map(Response::status));
        if verdict.is_success() {
            self.succeeded(outcome.as_ref());
        }
        verdict
    }

    /// Decides on a failed attempt: a further attempt, or the end.
    pub(crate) fn failed<ReqBody, M>(
        &mut self,
        outcome: Result<Response<B>, BoxError>,
        verdict: Verdict,
    ) -> Step<Response<ResponseBody<B>>>
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let attempted = self.record(verdict, outcome.as_ref());
        let now = Instant::now();
        let late = verdict.class() == Class::Timeout && !self.is_excused(now);
        let (limits, spent) = self.end_attempt(attempted, (verdict, late));
        let mut known = self.known::<ReqBody, M>(attempted, (verdict, late), (limits, now));
        let refused = self.count_refusal(&mut known);
        // The oldest attempts beyond this number are forgotten. Their endpoints look untried, and
        // a move to an untried endpoint is free.
        let decision = if self.trail.len() >= Trail::MAX_ATTEMPTS {
            Decision::GiveUp("it was sent too often")
        } else if M::is_whole(&self.body) {
            self.settings.policy.decide(known, limits, spent, now)
        } else {
            Decision::GiveUp("its body is too large to be kept")
        };
        match decision {
            Decision::Again { wait, counts, cost } => {
                let planned = Planned {
                    wait,
                    counts,
                    attempted,
                    cost,
                    refused,
                };
                self.plan(outcome, planned, (limits, spent), (verdict, now));
                Step::Again(wait)
            }
            Decision::GiveUp(reason) => {
                let (class, attempts) = (verdict.class(), self.trail.len());
                tracing::debug!(%class, attempts, reason, "request given up");
                if outcome.is_ok() && verdict.breaker() == BreakerEffect::Success {
                    self.deposit();
                }
                let outcome = self.end(outcome, known, limits, now);
                Step::Done(outcome.map(|answer| self.mark_final(answer, reason)))
            }
        }
    }

    /// Records an attempt unless a layer below has recorded it.
    ///
    /// Returns whether an endpoint was tried: a balancer may reject a request without an attempt.
    pub(super) fn record(
        &self,
        verdict: Verdict,
        outcome: Result<&Response<B>, &BoxError>,
    ) -> bool {
        if self.is_recorded() {
            return true;
        }
        let status = match outcome {
            Ok(response) => Some(response.status()),
            Err(error) if Exhausted::find(&**error).is_some() => return false,
            Err(_) => None,
        };
        let mut attempt = Attempt::new(self.started, verdict);
        attempt.status = status;
        self.trail.record(attempt);
        true
    }

    /// Ends the account of an attempt. Returns the limits and the use of the request.
    fn end_attempt(
        &mut self,
        attempted: bool,
        (verdict, late): (Verdict, bool),
    ) -> (Limits, Spent) {
        let (limits, mut spent) = match &mut self.past {
            Some(past) => {
                let is_served = verdict.breaker() == BreakerEffect::Success;
                past.end_attempt(attempted, is_served, self.trail.is_at_fault());
                (past.limits, past.spent)
            }
            None => (self.limits(), Spent::FIRST_ATTEMPT),
        };
        spent.once += u32::from(verdict.same_endpoint() == SameEndpoint::OnceAfterBackoff);
        spent.late += u32::from(late);
        (limits, spent)
    }

    /// Returns whether more time is left until the deadline than has passed since the arrival.
    fn has_half(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.trail.arrived());
        let deadline = Deadline::of(&self.head.extensions);
        deadline.is_some_and(|deadline| deadline.remaining(now) > age)
    }

    /// Returns whether the endpoint of the last attempt was silent, and the caller has time for
    /// another one.
    fn is_excused(&self, now: Instant) -> bool {
        let was_silent = |attempts: &mut dyn Iterator<Item = &Attempt>| {
            attempts.last().is_some_and(|attempt| attempt.silent)
        };
        self.has_half(now) && self.trail.with_attempts(was_silent)
    }

    /// Collects the facts that the policy decides on.
    fn known<ReqBody, M>(
        &self,
        attempted: bool,
        (verdict, late): (Verdict, bool),
        (limits, now): (Limits, Instant),
    ) -> Outcome
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        // Only a request that may have been processed is charged to its caller.
        let caller = match verdict.proves_unprocessed() {
            true => (0, 0),
            false => caller_of(&self.head, M::size(&self.body)),
        };
        let past = self.past.as_ref();
        let first = self.trail.is_empty();
        let age = now.saturating_duration_since(self.trail.arrived());
        Outcome {
            verdict,
            next: self.trail.take_next(),
            attempted,
            owed: !first && past.is_none_or(|past| !past.counted),
            paid: past.map_or(0, |past| past.reserved_tokens()),
            first,
            late,
            young: limits.deadline.is_some() && age < limits.max_wait,
            started: self.started,
            others: 0,
            at_fault: self.trail.is_at_fault(),
            caller,
        }
    }

    /// Counts a refusal, and notes how many other requests were refused since the last one.
    fn count_refusal(&self, known: &mut Outcome) -> Option<u32> {
        let last = self.past.as_ref().and_then(|past| past.refused);
        if !known.is_throttled() {
            return last;
        }
        let (number, others) = self.settings.policy.refusals.count(last);
        known.others = others;
        Some(number)
    }

    /// Keeps the outcome, and prepares the next attempt.
    fn plan(
        &mut self,
        outcome: Result<Response<B>, BoxError>,
        planned: Planned,
        (limits, spent): (Limits, Spent),
        (verdict, now): (Verdict, Instant),
    ) {
        let Planned {
            wait,
            counts,
            attempted,
            cost,
            refused,
        } = planned;
        let tier = self.trail.tier();
        let past = self.past.get_or_insert_with(|| Box::new(Past::new(limits)));
        past.spent = spent;
        past.refused = refused;
        past.best.keep(tier, verdict, outcome);
        past.reserve(cost);
        // A wait settles the account of the next attempt, also of one that does not count.
        past.counted |= counts || !wait.is_zero();
        past.spent.attempts = past.spent.attempts.saturating_add(u32::from(counts));
        if wait.is_zero() {
            return;
        }
        past.begin_wait(now);
        if attempted || counts {
            // Only an answer of an endpoint makes the next wait longer.
            past.spent.waits = past.spent.waits.saturating_add(1);
            past.spent.last_wait = wait;
        }
        self.settings.policy.observers.emit(&Event::Retry {
            class: verdict.class(),
            attempt: self.trail.len() + 1,
            wait,
        });
    }
}
