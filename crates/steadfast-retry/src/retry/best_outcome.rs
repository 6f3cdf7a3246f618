//! The outcome that the caller gets if no further attempt succeeds.

use std::time::Duration;

use http::Response;
use http_body::Body;
use steadfast_core::{BoxError, Exhausted, Verdict};
use tokio::time::Instant;

use crate::answer::KeptAnswer;

/// The tier of an error that no endpoint has returned: any other error is better.
const NO_TIER: u32 = u32::MAX;

/// The best outcome of the attempts that failed: the last answer, and the last error, of the lowest
/// tier that returned one. That is the root cause, and not the noise of the last fallback.
pub(super) struct BestOutcome<B: Body> {
    /// The answer of the lowest tier.
    answer: Option<Kept<Response<KeptAnswer<B>>>>,
    /// The error of the lowest tier.
    error: Option<Kept<BoxError>>,
}

/// A kept outcome.
pub(super) struct Kept<T> {
    /// The tier of its endpoint.
    tier: u32,
    /// The verdict on it.
    pub(super) verdict: Verdict,
    /// The instant at which it arrived. Its hint counts from there.
    pub(super) arrived: Instant,
    pub(super) outcome: T,
}

impl<B: Body> BestOutcome<B> {
    /// Starts without an outcome.
    pub(super) fn new() -> Self {
        Self {
            answer: None,
            error: None,
        }
    }

    /// Keeps the outcome of an attempt in `tier` unless a lower tier has returned one.
    pub(super) fn keep(
        &mut self,
        tier: u16,
        verdict: Verdict,
        outcome: Result<Response<B>, BoxError>,
    ) {
        match outcome {
            Ok(response) => {
                let keep = || response.map(KeptAnswer::new);
                keep_lowest(&mut self.answer, tier.into(), verdict, keep);
            }
            Err(error) if Exhausted::find(&*error).is_some() => self.keep_unsent(verdict, error),
            Err(error) => self.keep_error(tier.into(), verdict, error),
        }
    }

    /// Keeps the error of an attempt that was not sent.
    pub(super) fn keep_unsent(&mut self, verdict: Verdict, error: BoxError) {
        self.keep_error(NO_TIER, verdict, error);
    }

    /// Keeps an error unless a lower tier has returned one. Within a tier, the error of an attempt
    /// that may have been processed stays: a later refusal would suggest that nothing happened.
    fn keep_error(&mut self, tier: u32, verdict: Verdict, error: BoxError) {
        let is_uncertain = |kept: &Kept<_>| !kept.verdict.proves_unprocessed();
        let stays = |kept: &Kept<_>| kept.tier == tier && is_uncertain(kept);
        if !verdict.proves_unprocessed() || !self.error.as_ref().is_some_and(stays) {
            keep_lowest(&mut self.error, tier, verdict, || error);
        }
    }

    /// Returns the kept answer.
    pub(super) fn answer(&self) -> Option<&KeptAnswer<B>> {
        self.answer.as_ref().map(|kept| kept.outcome.body())
    }

    /// Returns the kept answer, to read it ahead.
    pub(super) fn answer_mut(&mut self) -> Option<&mut KeptAnswer<B>> {
        self.answer.as_mut().map(|kept| kept.outcome.body_mut())
    }

    /// Takes the answer of a tier below `tier`.
    pub(super) fn answer_below(self, tier: u16) -> Option<Kept<Response<KeptAnswer<B>>>> {
        self.answer.filter(|kept| kept.tier < tier.into())
    }

    /// Takes the answer, or without one the error.
    pub(super) fn take(self) -> Result<Kept<Response<KeptAnswer<B>>>, Option<Kept<BoxError>>> {
        self.answer.ok_or(self.error)
    }
}

impl<T> Kept<T> {
    /// Returns the rest of its hint at `now`, which may be zero.
    pub(super) fn rest_of_hint(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.arrived);
        self.verdict.hint().map(|hint| hint.saturating_sub(age))
    }
}

/// Replaces the kept outcome unless it is of a lower tier.
fn keep_lowest<T>(
    kept: &mut Option<Kept<T>>,
    tier: u32,
    verdict: Verdict,
    outcome: impl FnOnce() -> T,
) {
    if kept.as_ref().is_none_or(|kept| tier <= kept.tier) {
        *kept = Some(Kept {
            tier,
            verdict,
            arrived: Instant::now(),
            outcome: outcome(),
        });
    }
}
