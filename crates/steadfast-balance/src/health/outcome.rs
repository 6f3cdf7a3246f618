//! What a check finds.

use std::pin::Pin;

use steadfast_core::{BreakerEffect, Class, Verdict};

use crate::endpoint::Endpoint;
use crate::state::check_result::CheckOutcome;

/// A check that runs.
pub(super) type Checking = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a check has found, and what a breaker is told if it was a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// The result for the status.
    pub(super) finding: CheckOutcome,
    /// The verdict for the breaker.
    pub(super) verdict: Verdict,
}

/// Begins a check of one endpoint.
pub(super) type Check = Box<dyn Fn(&Endpoint) -> Checking + Send>;
/// Makes what begins the checks of an endpoint.
pub(super) type MakeCheck = Box<dyn Fn(&Endpoint) -> Check + Send>;

impl Outcome {
    /// The endpoint is healthy.
    pub(super) fn passed() -> Self {
        Self {
            finding: CheckOutcome::Passed,
            verdict: Verdict::new(Class::Success),
        }
    }

    /// The check is no evidence about the endpoint.
    pub(super) fn unknown() -> Self {
        Self {
            finding: CheckOutcome::Unknown,
            verdict: Verdict::new(Class::Cancelled),
        }
    }

    /// The endpoint is unhealthy.
    pub(super) fn failed(verdict: Verdict) -> Self {
        Self {
            finding: CheckOutcome::Failed,
            verdict,
        }
    }

    /// What an answer to a check means that is no more than its verdict.
    pub(super) fn of(verdict: Verdict) -> Self {
        if verdict.is_success() {
            return Self::passed();
        }
        match verdict.breaker() {
            BreakerEffect::Failure => Self::failed(verdict),
            _ => Self::unknown(),
        }
    }

    /// What it means if it is certain that the check has not passed.
    pub(super) fn unexpected(verdict: Verdict) -> Self {
        match verdict.breaker() {
            BreakerEffect::Failure => Self::failed(verdict),
            BreakerEffect::Neutral => Self::unknown(),
            _ => Self::failed(Verdict::new(Class::ServerError)),
        }
    }
}
