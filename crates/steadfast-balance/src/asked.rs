//! What a request allows: which endpoints it may go to, by its wishes and by what was tried.

use http::Extensions;
use steadfast_core::{
    Attempt, Class, Deadline, EndpointName, Next, OtherEndpoint, SameEndpoint, Trail, Verdict,
};
use tokio::time::Instant;

use crate::member::Member;
use crate::members::Members;
use crate::pool::Shared;
use steadfast_core::RoutingOptions;
use steadfast_core::layer::{AttemptGroup, RecordAttempts};

/// What a request brings along: its record, and where it wants to go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) trail: Option<Trail>,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) wishes: Option<RoutingOptions>,
    /// The other attempts that run at the same time.
    pub(crate) group: Option<AttemptGroup>,
}

/// What that allows at one moment.
#[derive(Debug)]
pub(crate) struct Allowed<'a> {
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

impl Asked {
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
    pub(crate) fn allowed_after_all(&self) -> Allowed<'_> {
        let group = self.group.as_ref();
        Allowed {
            elsewhere: group.map(AttemptGroup::endpoints).unwrap_or_default(),
            is_hedge: false,
            ..self.allowed()
        }
    }

    pub(crate) fn allowed(&self) -> Allowed<'_> {
        let trail = self.trail.as_ref().filter(|trail| !trail.is_empty());
        let next = trail.and_then(Trail::last_next);
        Allowed {
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

impl Allowed<'_> {
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

    pub(crate) fn prefers(&self, member: &Member) -> bool {
        let preferred = self.wishes.and_then(RoutingOptions::preferred);
        preferred.is_some_and(|name| *name == member.endpoint.name)
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
    pub(crate) fn allows_new(&self, members: &Members, member: &Member) -> bool {
        self.is_wanted(member)
            && (self.tried.iter())
                .all(|attempt| !is_at(attempt, member) && may_follow(members, member, attempt))
    }

    /// Whether an endpoint that was tried may take the request again.
    pub(crate) fn allows_again(&self, members: &Members, member: &Member) -> bool {
        if self.is_hedge {
            return false;
        }
        let (mut tried, mut once) = (false, 0);
        self.is_wanted(member)
            && self.tried.iter().all(|attempt| {
                if !is_at(attempt, member) {
                    return may_follow(members, member, attempt);
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
        shared: &Shared,
        members: &Members,
        member: &Member,
    ) -> bool {
        let mut here = self.tried.iter().filter(|attempt| is_at(attempt, member));
        let (Some(attempt), None) = (here.next(), here.next()) else {
            return false;
        };
        let stays = match attempt.verdict.class() {
            Class::RateLimited => {
                let hint = attempt.verdict.hint();
                shared.prefers_to_wait()
                    && hint.is_some_and(|hint| hint <= shared.rules.prefer_wait_below)
            }
            _ => shared.rules.quick_retry && is_lone_failure(attempt.verdict),
        };
        stays && self.allows_again(members, member)
    }

    /// Whether it may go there now.
    pub(crate) fn allows_now(&self, members: &Members, member: &Member) -> bool {
        self.allows_new(members, member) || self.may_return() && self.allows_again(members, member)
    }

    /// Whether it may go there some time.
    pub(crate) fn allows(&self, members: &Members, member: &Member) -> bool {
        self.allows_new(members, member) || self.allows_again(members, member)
    }

    fn is_wanted(&self, member: &Member) -> bool {
        let name = &member.endpoint.name;
        self.wishes.is_none_or(|wishes| wishes.allows(name))
            && !self.elsewhere.contains(name)
            && !self.lost.contains(&member.id)
    }
}

fn is_lone_failure(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::ServerError | Class::Overloaded) && verdict.hint().is_none()
}

fn is_at(attempt: &Attempt, member: &Member) -> bool {
    attempt.endpoint.as_ref() == Some(&member.endpoint.name)
}

/// Whether `member` may take a request after what another endpoint answered.
fn may_follow(members: &Members, member: &Member, attempt: &Attempt) -> bool {
    // The request goes on, so it was not its caller who left but a layer in between.
    if attempt.verdict.class() == Class::Cancelled {
        return true;
    }
    match attempt.verdict.class().other_endpoint() {
        OtherEndpoint::Any => true,
        OtherEndpoint::LargerContext => member.endpoint.larger_context,
        OtherEndpoint::OtherCredential => {
            let mut all = members.all.iter().map(|entry| &entry.member.endpoint);
            let tried = all.find(|tried| attempt.endpoint.as_ref() == Some(&tried.name));
            tried.is_none_or(|tried| tried.credential != member.endpoint.credential)
        }
        _ => false,
    }
}
