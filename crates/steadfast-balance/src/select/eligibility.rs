//! Which endpoints a request may go to, and when they can take it.

use std::time::Duration;
use steadfast_core::{
    Attempt, Class, EndpointName, OtherEndpoint, RoutingOptions, SameEndpoint, Verdict,
};

use tokio::time::Instant;

use crate::pool::snapshot::PoolSnapshot;
use crate::state::EndpointState;
use crate::state::availability::Availability;

/// What a request allows at one moment: by its routing options and by its trail.
#[derive(Debug)]
pub(crate) struct Eligibility<'a> {
    pub(crate) snapshot: &'a PoolSnapshot,
    pub(crate) options: Option<&'a RoutingOptions>,
    pub(crate) tokens: Option<u64>,
    pub(crate) prefer_wait: Duration,
    /// It does not wait for one endpoint while another one could take it.
    pub(crate) hurries: bool,
    pub(crate) tried: Vec<Attempt>,
    /// The endpoints that are left to other attempts of the request.
    pub(crate) excluded: Vec<EndpointName>,
    /// The ids of endpoints whose services failed to become ready.
    pub(crate) lost: Vec<u64>,
    pub(crate) is_hedge: bool,
    /// The last attempt ended just now and another endpoint was promised. The same endpoint would
    /// be asked without any backoff.
    pub(crate) moves: bool,
}

/// The part of the order after a failed attempt in which an endpoint comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An endpoint that was not tried.
    Untried,
    /// One more attempt at the same endpoint before a degraded one: the failure may have been an
    /// accident, or the limit soon ends.
    BeforeDegraded,
    /// Either of the two.
    Better,
    /// An endpoint that was tried and whose answers allow a further attempt.
    Again,
    /// An untried endpoint, or a tried one unless the request has to move.
    Next,
    /// An endpoint that may take the request at some time.
    Ever,
}

impl Eligibility<'_> {
    /// Returns when `endpoint` can take the request in this stage.
    ///
    /// Selection, forecast, waiting and the least bad choice all ask here.
    pub(crate) fn check(
        &self,
        stage: Stage,
        endpoint: &EndpointState,
        now: Instant,
    ) -> Availability {
        if self.admits(stage, endpoint) {
            endpoint.availability(self.tokens, now)
        } else {
            Availability::Never
        }
    }

    /// Returns whether [`check`](Self::check) would return `Now`, with the fast path first.
    #[inline]
    pub(crate) fn is_now(&self, stage: Stage, endpoint: &EndpointState, now: Instant) -> bool {
        endpoint.is_available(self.tokens, now) && self.admits(stage, endpoint)
    }

    /// Returns whether the request may go to `endpoint` in this stage, whatever its state.
    pub(crate) fn admits(&self, stage: Stage, endpoint: &EndpointState) -> bool {
        match stage {
            Stage::Untried => self.admits_untried(endpoint),
            Stage::BeforeDegraded => self.admits_before_degraded(endpoint),
            Stage::Better => self.admits_untried(endpoint) || self.admits_before_degraded(endpoint),
            Stage::Again => self.admits_again(endpoint),
            Stage::Next => {
                self.admits_untried(endpoint) || self.may_return() && self.admits_again(endpoint)
            }
            Stage::Ever => self.admits_untried(endpoint) || self.admits_again(endpoint),
        }
    }

    /// Returns whether every endpoint may take the request.
    pub(crate) fn is_unrestricted(&self) -> bool {
        let is_new = self.tried.is_empty() && self.excluded.is_empty() && self.lost.is_empty();
        self.options.is_none() && is_new
    }

    /// Returns when the request began.
    pub(crate) fn since(&self, now: Instant) -> Instant {
        self.tried
            .first()
            .map_or(now, |first| first.started.min(now))
    }

    pub(crate) fn prefers(&self, endpoint: &EndpointState) -> bool {
        let preferred = self.options.and_then(RoutingOptions::preferred);
        preferred.is_some_and(|name| *name == endpoint.config.name)
    }

    pub(crate) fn has_preference(&self) -> bool {
        self.options
            .is_some_and(|options| options.preferred().is_some())
    }

    /// Returns whether the request may go back to an endpoint that was tried.
    pub(crate) fn may_return(&self) -> bool {
        !self.tried.is_empty() && !self.moves
    }

    fn admits_untried(&self, endpoint: &EndpointState) -> bool {
        self.is_permitted(endpoint)
            && (self.tried.iter())
                .all(|attempt| !is_at(attempt, endpoint) && self.may_follow(endpoint, attempt))
    }

    fn admits_again(&self, endpoint: &EndpointState) -> bool {
        if self.is_hedge {
            return false;
        }
        let (mut tried, mut once) = (false, 0);
        self.is_permitted(endpoint)
            && self.tried.iter().all(|attempt| {
                if !is_at(attempt, endpoint) {
                    return self.may_follow(endpoint, attempt);
                }
                tried = true;
                match attempt.verdict.same_endpoint() {
                    SameEndpoint::AfterHint | SameEndpoint::AfterBackoff => true,
                    SameEndpoint::OnceAfterBackoff => {
                        once += 1;
                        once <= 1
                    }
                    _ => false,
                }
            })
            && tried
    }

    fn admits_before_degraded(&self, endpoint: &EndpointState) -> bool {
        if endpoint.config.degraded {
            return false;
        }
        let mut here = self.tried.iter().filter(|attempt| is_at(attempt, endpoint));
        let (Some(attempt), None) = (here.next(), here.next()) else {
            return false;
        };
        let stays = match attempt.verdict.class() {
            Class::RateLimited => {
                let hint = attempt.verdict.hint();
                hint.is_some_and(|hint| !self.prefer_wait.is_zero() && hint <= self.prefer_wait)
            }
            _ => is_lone_failure(attempt.verdict),
        };
        stays && self.admits_again(endpoint)
    }

    fn is_permitted(&self, endpoint: &EndpointState) -> bool {
        let name = &endpoint.config.name;
        self.options.is_none_or(|options| options.allows(name))
            && !self.excluded.contains(name)
            && !self.lost.contains(&endpoint.id)
    }

    /// Returns whether `endpoint` may take the request after the outcome at another endpoint.
    fn may_follow(&self, endpoint: &EndpointState, attempt: &Attempt) -> bool {
        // The request continues, so a layer in between dropped the attempt, not the caller.
        if attempt.verdict.class() == Class::Cancelled {
            return true;
        }
        match attempt.verdict.class().other_endpoint() {
            OtherEndpoint::Any => true,
            OtherEndpoint::LargerContext => endpoint.config.larger_context,
            OtherEndpoint::OtherCredential => {
                let mut all = (self.snapshot.all.iter()).map(|entry| &entry.state.config);
                let tried = all.find(|tried| attempt.endpoint.as_ref() == Some(&tried.name));
                tried.is_none_or(|tried| tried.credential != endpoint.config.credential)
            }
            _ => false,
        }
    }
}

fn is_lone_failure(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::ServerError | Class::Overloaded) && verdict.hint().is_none()
}

fn is_at(attempt: &Attempt, endpoint: &EndpointState) -> bool {
    attempt.endpoint.as_ref() == Some(&endpoint.config.name)
}
