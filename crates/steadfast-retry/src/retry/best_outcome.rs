//! The outcome that the caller gets if no further attempt succeeds.

use http::Response;
use http_body::Body;
use steadfast_core::{BoxError, Exhausted};

use crate::answer::KeptAnswer;

/// The tier of an error that no endpoint has returned: any other error is better.
const NO_TIER: u32 = u32::MAX;

/// The best outcome of the attempts that failed: the last answer, and the last error, of the lowest
/// tier that returned one. That is the root cause, and not the noise of the last fallback.
pub(super) struct BestOutcome<B: Body> {
    /// The answer of the lowest tier, with its tier.
    answer: Option<(u32, Response<KeptAnswer<B>>)>,
    /// The error of the lowest tier, with its tier.
    error: Option<(u32, BoxError)>,
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
    pub(super) fn keep(&mut self, tier: u16, outcome: Result<Response<B>, BoxError>) {
        match outcome {
            Ok(response) => {
                keep_lowest(&mut self.answer, tier.into(), || {
                    response.map(KeptAnswer::new)
                });
            }
            Err(error) if Exhausted::find(&*error).is_some() => self.keep_unsent(error),
            Err(error) => keep_lowest(&mut self.error, tier.into(), || error),
        }
    }

    /// Keeps the error of an attempt that was not sent.
    pub(super) fn keep_unsent(&mut self, error: BoxError) {
        keep_lowest(&mut self.error, NO_TIER, || error);
    }

    /// Returns the kept answer.
    pub(super) fn answer(&self) -> Option<&KeptAnswer<B>> {
        self.answer.as_ref().map(|(_, answer)| answer.body())
    }

    /// Returns the kept answer, to read it ahead.
    pub(super) fn answer_mut(&mut self) -> Option<&mut KeptAnswer<B>> {
        self.answer.as_mut().map(|(_, answer)| answer.body_mut())
    }

    /// Takes the answer of a tier below `tier`.
    pub(super) fn answer_below(self, tier: u16) -> Option<Response<KeptAnswer<B>>> {
        let answer = self.answer.filter(|(lowest, _)| *lowest < tier.into());
        answer.map(|(_, answer)| answer)
    }

    /// Takes the answer, or without one the error.
    pub(super) fn take(self) -> Result<Response<KeptAnswer<B>>, Option<BoxError>> {
        match self.answer {
            Some((_, answer)) => Ok(answer),
            None => Err(self.error.map(|(_, error)| error)),
        }
    }
}

/// Replaces the kept outcome unless it is of a lower tier.
fn keep_lowest<T>(kept: &mut Option<(u32, T)>, tier: u32, new: impl FnOnce() -> T) {
    if kept.as_ref().is_none_or(|(lowest, _)| tier <= *lowest) {
        *kept = Some((tier, new()));
    }
}
