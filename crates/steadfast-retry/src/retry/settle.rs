//! The end of a request.

use http::Response;
use http_body::Body;
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{BoxError, Exhausted, Verdict};
use tokio::time::Instant;

use super::best_outcome::BestOutcome;
use super::state::Retry;
use crate::answer::ResponseBody;
use crate::policy::{Limits, Outcome};

impl<S, K, B: Body> Retry<S, K, B> {
    /// Settles the request by an attempt that succeeded.
    pub(super) fn succeeded(&mut self, outcome: Result<&Response<B>, &BoxError>) {
        if self.sent > 1 {
            self.record(Verdict::SUCCESS, outcome);
        }
        if let Some(past) = &mut self.past {
            past.refund();
        }
        if let Some(budget) = &self.settings.policy.budget {
            if self.trail.len() <= 1 {
                budget.deposit(1);
            }
        }
    }

    /// Returns an answer to the caller.
    #[inline]
    pub(crate) fn answer(&self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        self.add_trail(&mut response);
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
        let recovery = match known.next {
            Some(Next::At(at)) => {
                let wait = at.saturating_duration_since(now);
                known.verdict.with_hint(Some(wait))
            }
            _ => known.verdict,
        };
        // The recovery of some endpoint does not prove that this attempt was not processed.
        let proves_as_much = recovery.proves_unprocessed() == known.verdict.proves_unprocessed();
        let verdict = if proves_as_much {
            recovery
        } else {
            known.verdict
        };
        if let Some(past) = &mut self.past {
            if known.may_have_been_processed(limits) {
                // An earlier refusal would suggest the opposite, and a layer above would repeat
                // the request.
                past.best = BestOutcome::new();
            }
        }
        self.give_up(outcome, verdict)
    }

    /// Ends the request because no further attempt can be sent: the service did not become ready,
    /// or the body can no longer be sent again.
    pub(crate) fn no_attempt(
        &mut self,
        error: Option<BoxError>,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let mut past = self.past.take().expect("an attempt was made");
        if let Some(error) = error {
            past.best.keep_unsent(error);
        }
        // A part of the hint has passed. A hint of zero still proves that the attempt was not
        // processed.
        let waited = Instant::now().saturating_duration_since(past.judged);
        let left = (past.verdict.hint()).map(|hint| hint.saturating_sub(waited));
        let verdict = past.verdict.with_hint(left);
        self.best(past.best, verdict)
    }

    /// Returns `last`, or a better outcome of an earlier attempt.
    fn give_up(
        &mut self,
        last: Result<Response<B>, BoxError>,
        verdict: Verdict,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let tier = self.trail.tier();
        let best = self.past.take().map(|past| past.best);
        match (last, best) {
            (Ok(response), best) => {
                let better = best.and_then(|best| best.answer_below(tier));
                Ok(match better {
                    Some(mut answer) => {
                        self.add_trail(&mut answer);
                        answer.map(ResponseBody::kept)
                    }
                    None => self.answer(response),
                })
            }
            (Err(error), best) => {
                let mut best = best.unwrap_or_else(BestOutcome::new);
                best.keep(tier, Err(error));
                self.best(best, verdict)
            }
        }
    }

    /// Returns the kept outcome of the lowest tier.
    fn best(
        &self,
        best: BestOutcome<B>,
        verdict: Verdict,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        match best.take() {
            Ok(mut answer) => {
                self.add_trail(&mut answer);
                Ok(answer.map(ResponseBody::kept))
            }
            // After a lone attempt the trail adds nothing.
            Err(Some(error)) if self.sent == 1 && self.trail.len() <= 1 => Err(error),
            Err(error) => Err(Exhausted::new(self.trail.clone(), verdict, error).into()),
        }
    }

    /// Inserts the trail into a response after more than one attempt.
    #[inline]
    fn add_trail<T>(&self, response: &mut Response<T>) {
        if self.trail.len() > 1 {
            response.extensions_mut().insert(self.trail.clone());
        }
    }
}
