//! The end of a request.

use std::time::Duration;

use http::{HeaderValue, Response};
use http_body::Body;
use steadfast_core::layer::{Next, RecordAttempts, set_retry_after, verdict_of};
use steadfast_core::{BoxError, Class, Exhausted, Verdict};
use tokio::time::Instant;

use super::best_outcome::{BestOutcome, Kept};
use super::state::Retry;
use crate::answer::{KeptAnswer, ResponseBody};
use crate::policy::{Limits, Outcome, WAIT_TOO_LONG};

/// The error of a service that did not become ready, if it has failed, and the reason why no
/// further attempt is sent.
pub(crate) type NoAttempt = (Option<BoxError>, &'static str);

/// The time until the soonest recovery, if it is known.
type Recovery = Option<Duration>;

impl<S, K, B: Body> Retry<S, K, B> {
    /// Settles the request by an attempt that succeeded.
    pub(super) fn succeeded(&mut self, outcome: Result<&Response<B>, &BoxError>) {
        if self.sent > 1 {
            self.record(Verdict::SUCCESS, outcome);
        }
        if let Some(past) = &mut self.past {
            past.refund();
        }
        self.deposit();
    }

    /// Returns a token to the budget after a first attempt that its endpoint has served.
    pub(super) fn deposit(&self) {
        if let Some(budget) = &self.settings.policy.budget {
            if self.trail.len() <= 1 {
                budget.deposit(1);
            }
        }
    }

    /// Returns an answer to the caller. After more than one attempt, it has the trail.
    #[inline]
    pub(crate) fn answer(&self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        if self.trail.len() > 1 {
            response.extensions_mut().insert(self.trail.clone());
        }
        response.map(ResponseBody::passed)
    }

    /// Ends the request with the outcome of its last attempt, or with a better one.
    pub(super) fn end(
        &mut self,
        outcome: Result<Response<B>, BoxError>,
        known: Outcome,
        limits: Limits,
        now: Instant,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        if let Some(past) = &mut self.past {
            if known.may_have_been_processed(limits) {
                // An earlier refusal would suggest the opposite, and a layer above would repeat
                // the request.
                past.best = BestOutcome::new();
            }
        }
        let tier = self.trail.tier();
        let best = self.past.take().map(|past| past.best);
        let mut best = best.unwrap_or_else(BestOutcome::new);
        match outcome {
            Ok(mut response) => match best.answer_below(tier) {
                Some(kept) => Ok(self.kept(kept, now)),
                None => {
                    // The hint of an answer that has just arrived is true, except that another
                    // endpoint may recover sooner.
                    if let Some(recovery) = self.recovery(known.verdict, now) {
                        set_retry_after(response.headers_mut(), recovery);
                    }
                    Ok(self.answer(response))
                }
            },
            Err(error) => {
                best.keep(tier, known.verdict, Err(error));
                let recovery = match known.next {
                    Some(Next::At(at) | Next::Later(at)) => Some(at.saturating_duration_since(now)),
                    _ => known.verdict.hint(),
                };
                self.best(best, recovery, now)
            }
        }
    }

    /// Ends the request because no further attempt can be sent: the service did not become ready,
    /// or the body can no longer be sent again.
    pub(crate) fn no_attempt(
        &mut self,
        (error, reason): NoAttempt,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let mut past = self.past.take().expect("an attempt was made");
        if let Some(error) = error {
            let verdict = verdict_of::<()>(Err(&*error));
            past.best.keep_unsent(verdict, error);
        }
        let outcome = self.best(past.best, None, Instant::now());
        outcome.map(|answer| self.mark_final(answer, reason))
    }

    /// Returns the kept outcome of the lowest tier.
    fn best(
        &self,
        best: BestOutcome<B>,
        recovery: Recovery,
        now: Instant,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let kept = match best.take() {
            Ok(kept) => return Ok(self.kept(kept, now)),
            Err(kept) => kept.expect("each failed attempt has an outcome"),
        };
        let explained = self.recovery(kept.verdict, now);
        let is_lone = self.sent == 1 && self.trail.len() <= 1;
        // After a lone attempt the trail adds nothing, unless a balancer has reasons.
        if is_lone && (explained.is_none() || Exhausted::find(&*kept.outcome).is_some()) {
            return Err(kept.outcome);
        }
        let recovery = explained.unwrap_or_else(|| recovery.or(kept.rest_of_hint(now)));
        let verdict = with_recovery(kept.verdict, recovery);
        Err(Exhausted::new(self.trail.clone(), verdict, Some(kept.outcome)).into())
    }

    /// Returns a kept answer. Its hint counts from its arrival, and another endpoint may recover
    /// sooner.
    fn kept(&self, kept: Kept<Response<KeptAnswer<B>>>, now: Instant) -> Response<ResponseBody<B>> {
        let recovery = self.recovery(kept.verdict, now);
        let recovery = recovery.unwrap_or_else(|| kept.rest_of_hint(now));
        let mut answer = kept.outcome;
        if is_about_endpoints(kept.verdict) {
            set_retry_after(answer.headers_mut(), recovery);
        }
        answer.extensions_mut().insert(self.trail.clone());
        answer.map(ResponseBody::kept)
    }

    /// Marks a final answer, so that a client does not multiply the attempts. If only a longer wait
    /// would help, its hint stands.
    pub(super) fn mark_final<T>(&self, mut answer: Response<T>, reason: &str) -> Response<T> {
        if !self.settings.marks_final {
            return answer;
        }
        let verdict = verdict_of(Ok(&answer));
        let ends = matches!(verdict.class(), Class::RateLimited | Class::Overloaded);
        let hint_stands = ends && reason == WAIT_TOO_LONG;
        if is_about_endpoints(verdict) && !hint_stands {
            let value = HeaderValue::from_static("false");
            answer.headers_mut().insert("x-should-retry", value);
        }
        answer
    }

    /// Returns the recovery that a balancer reports at `now`, after an outcome that another
    /// endpoint could improve. The trail then has the reason of each endpoint.
    fn recovery(&self, verdict: Verdict, now: Instant) -> Option<Recovery> {
        if !is_about_endpoints(verdict) {
            return None;
        }
        let recovery = self.trail.explain(now)?;
        Some(recovery.map(|at| at.saturating_duration_since(now)))
    }
}

/// Returns whether another endpoint, or the same one at another time, could serve the request.
fn is_about_endpoints(verdict: Verdict) -> bool {
    !matches!(
        verdict.class(),
        Class::Success
            | Class::CallerFault
            | Class::ContentPolicy
            | Class::ContextTooLong
            | Class::Cancelled
    )
}

/// Sets the time until the soonest recovery. A hint can prove that an attempt was not processed, so
/// a hint is neither added where that is unknown nor removed where it is known.
fn with_recovery(verdict: Verdict, recovery: Recovery) -> Verdict {
    let hint = match verdict.hint() {
        Some(_) => recovery.or(Some(Duration::ZERO)),
        None => recovery,
    };
    let recovered = verdict.with_hint(hint);
    if recovered.proves_unprocessed() == verdict.proves_unprocessed() {
        recovered
    } else {
        verdict
    }
}
