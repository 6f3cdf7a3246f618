//! What a request allows: which endpoints it may go to, by its wishes and by what was tried.

use http::Extensions;
use steadfast_core::layer::Next;
use steadfast_core::{
    Attempt, Class, Deadline, EndpointName, OtherEndpoint, SameEndpoint, Trail, Verdict,
};
use tokio::time::Instant;

use crate::pool::context::PoolContext;
use crate::pool::snapshot::PoolSnapshot;
use crate::state::EndpointState;
use steadfast_core::RoutingOptions;
use steadfast_core::layer::{AttemptGroup, RecordAttempts};

/// What a request brings along: its record, and where it wants to go.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestContext {
    pub(crate) trail: Option<Trail>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) wishes: Option<RoutingOptions>,
    /// The other attempts that run at the same time.
    pub(crate) group: Option<AttemptGroup>,
}

/// What that allows at one moment.
#[derive(Debug)]
pub(crate) struct Eligibility<'a> {
    wishes: Option<&'a RoutingOptions>,
    /// It does not wait for one endpoint while another one could take it.
    pub(crate) hurries: bool,
    tried: Vec<Attempt>,
    /// The endpoints that are left to other attempts of the request.
    elsewhere: Vec<EndpointName>,
    /// The ids of those whose services have failed to become ready: they are not asked again.
    pub(crate) lost: Vec<u64>,
    is_hedge: bool,
    /// The last attempt ended just now and another endpoint was promised, so the same one would
    /// be asked without any backoff.
    moves: bool,
}

impl RequestContext {
    /// What the extensions of a request ask for. A group is taken out: it is that of the endpoints of
    /// this balancer, not of one further in.
    #[inline]
    pub(crate) fn take(extensions: &mut Extensions) -> Self {
        // Most requests bring nothing at all.
        if extensions.is_empty() {
            return Self::default();
        }
        Self {
            trail: Trail::of(extensions).cloned(),
            deadline: Deadline::of(extensions),
            wishes: RoutingOptions::of(extensions).cloned(),
            group: extensions.remove().inspect(AttemptGroup::set_balanced),
        }
    }

    pub(crate) fn tokens(&self) -> Option<u64> {
        self.wishes.as_ref().and_then(RoutingOptions::tokens)
    }

    /// Whether it is a further attempt, while the first one runs.
    pub(crate) fn is_hedge(&self) -> bool {
        self.group.as_ref().is_some_and(AttemptGroup::is_hedge)
    }

    /// What is allowed once the attempts that run now have failed. The next one is no hedge.
    pub(crate) fn eligibility_after_all(&self) -> Eligibility<'_> {
        let group = self.group.as_ref();
        Eligibility {
            elsewhere: group.map(AttemptGroup::endpoints).unwrap_or_default(),
            is_hedge: false,
            ..self.eligibility()
        }
    }

    pub(crate) fn eligibility(&self) -> Eligibility<'_> {
        let trail = self.trail.as_ref().filter(|trail| !trail.is_empty());
        let next = trail.and_then(Trail::last_next);
        Eligibility {
            wishes: self.wishes.as_ref(),
            hurries: false,
            tried: trail.map(Trail::attempts).unwrap_or_default(),
            elsewhere: self
                .group
                .as_ref()
                .map(AttemptGroup::excluded)
                .unwrap_or_default(),
            lost: Vec::new(),
            is_hedge: self.is_hedge(),
            moves: matches!(next, Some(Next::Now | Next::RetrySameNow)),
        }
    }
}

impl Eligibility<'_> {
    pub(crate) fn tokens(&self) -> Option<u64> {
        self.wishes.and_then(RoutingOptions::tokens)
    }

    /// Whether every endpoint may take it.
    pub(crate) fn is_anybody(&self) -> bool {
        let is_new = self.tried.is_empty() && self.elsewhere.is_empty() && self.lost.is_empty();
        self.wishes.is_none() && is_new
    }

    /// Since when the request is under way.
    pub(crate) fn since(&self, now: Instant) -> Instant {
        self.tried
            .first()
            .map_or(now, |first| first.started.min(now))
    }

    pub(crate) fn prefers(&self, endpoint: &EndpointState) -> bool {
        let preferred = self.wishes.and_then(RoutingOptions::preferred);
        preferred.is_some_and(|name| *name == endpoint.config.name)
    }

    pub(crate) fn has_preference(&self) -> bool {
        self.wishes
            .is_some_and(|wishes| wishes.preferred().is_some())
    }

    /// Whether it may go back to an endpoint that was tried.
    pub(crate) fn may_return(&self) -> bool {
        !self.tried.is_empty() && !self.moves
    }

    /// Whether an endpoint that was not tried may take the request.
    pub(crate) fn allows_new(&self, snapshot: &PoolSnapshot, endpoint: &EndpointState) -> bool {
        self.is_wanted(endpoint)
            && (self.tried.iter())
                .all(|attempt| !is_at(attempt, endpoint) && may_follow(snapshot, endpoint, attempt))
    }

    /// Whether an endpoint that was tried may take the request again.
    pub(crate) fn allows_again(&self, snapshot: &PoolSnapshot, endpoint: &EndpointState) -> bool {
        if self.is_hedge {
            return false;
        }
        let (mut tried, mut once) = (false, 0);
        self.is_wanted(endpoint)
            && self.tried.iter().all(|attempt| {
                if !is_at(attempt, endpoint) {
                    return may_follow(snapshot, endpoint, attempt);
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

    /// Whether an endpoint that was tried once may take the request before one of a higher tier:
    /// its failure may have been an accident, or its limit is soon over.
    pub(crate) fn allows_before_next_tier(
        &self,
        shared: &PoolContext,
        snapshot: &PoolSnapshot,
        endpoint: &EndpointState,
    ) -> bool {
        let mut here = self.tried.iter().filter(|attempt| is_at(attempt, endpoint));
        let (Some(attempt), None) = (here.next(), here.next()) else {
            return false;
        };
        let stays = match attempt.verdict.class() {
            Class::RateLimited => {
                let hint = attempt.verdict.hint();
                shared.prefers_to_wait()
                    && hint.is_some_and(|hint| hint <= shared.config.prefer_wait_below)
            }
            _ => shared.config.quick_retry && is_lone_failure(attempt.verdict),
        };
        stays && self.allows_again(snapshot, endpoint)
    }

    /// Whether it may go there now.
    pub(crate) fn allows_now(&self, snapshot: &PoolSnapshot, endpoint: &EndpointState) -> bool {
        self.allows_new(snapshot, endpoint)
            || self.may_return() && self.allows_again(snapshot, endpoint)
    }

    /// Whether it may go there some time.
    pub(crate) fn allows(&self, snapshot: &PoolSnapshot, endpoint: &EndpointState) -> bool {
        self.allows_new(snapshot, endpoint) || self.allows_again(snapshot, endpoint)
    }

    fn is_wanted(&self, endpoint: &EndpointState) -> bool {
        let name = &endpoint.config.name;
        self.wishes.is_none_or(|wishes| wishes.allows(name))
            && !self.elsewhere.contains(name)
            && !self.lost.contains(&endpoint.id)
    }
}

fn is_lone_failure(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::ServerError | Class::Overloaded) && verdict.hint().is_none()
}

fn is_at(attempt: &Attempt, endpoint: &EndpointState) -> bool {
    attempt.endpoint.as_ref() == Some(&endpoint.config.name)
}

/// Whether `member` may take a request after what another endpoint answered.
fn may_follow(snapshot: &PoolSnapshot, endpoint: &EndpointState, attempt: &Attempt) -> bool {
    // The request goes on, so it was not its caller who left but a layer in between.
    if attempt.verdict.class() == Class::Cancelled {
        return true;
    }
    match attempt.verdict.class().other_endpoint() {
        OtherEndpoint::Any => true,
        OtherEndpoint::LargerContext => endpoint.config.larger_context,
        OtherEndpoint::OtherCredential => {
            let mut all = snapshot.all.iter().map(|entry| &entry.state.config);
            let tried = all.find(|tried| attempt.endpoint.as_ref() == Some(&tried.name));
            tried.is_none_or(|tried| tried.credential != endpoint.config.credential)
        }
        _ => false,
    }
}
