//! The outcome of a check.

use std::pin::Pin;

use steadfast_core::{BreakerEffect, Class, Verdict};

use crate::endpoint::Endpoint;
use crate::state::check_result::CheckOutcome;

/// A check in progress.
pub(super) type Checking = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The outcome of a check. If the check was a probe, the breaker records the verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// The result for the status.
    pub(super) finding: CheckOutcome,
    /// The verdict for the breaker.
    pub(super) verdict: Verdict,
}

/// A function that starts a check of one endpoint.
pub(super) type Check = Box<dyn Fn(&Endpoint) -> Checking + Send>;
/// A function that creates the [`Check`] of an endpoint.
pub(super) type MakeCheck = Box<dyn Fn(&Endpoint) -> Check + Send>;

impl Outcome {
    /// Returns the outcome of a healthy endpoint.
    pub(super) fn passed() -> Self {
        Self {
            finding: CheckOutcome::Passed,
            verdict: Verdict::new(Class::Success),
        }
    }

    /// Returns the outcome of a check that is no evidence about the endpoint.
    pub(super) fn unknown() -> Self {
        Self {
            finding: CheckOutcome::Unknown,
            verdict: Verdict::new(Class::Cancelled),
        }
    }

    /// Returns the outcome of an unhealthy endpoint.
    pub(super) fn failed(verdict: Verdict) -> Self {
        Self {
            finding: CheckOutcome::Failed,
            verdict,
        }
    }

    /// Returns the outcome of a response, from its verdict alone.
    pub(super) fn of(verdict: Verdict) -> Self {
        if verdict.is_success() {
            return Self::passed();
        }
        match verdict.breaker() {
            BreakerEffect::Failure => Self::failed(verdict),
            _ => Self::unknown(),
        }
    }

    /// Returns the outcome of a check that has certainly not passed.
    pub(super) fn unexpected(verdict: Verdict) -> Self {
        match verdict.breaker() {
            BreakerEffect::Failure => Self::failed(verdict),
            BreakerEffect::Neutral => Self::unknown(),
            _ => Self::failed(Verdict::new(Class::ServerError)),
        }
    }
}
