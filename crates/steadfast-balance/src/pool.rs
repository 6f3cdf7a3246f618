//! The endpoints of a balancer, and which of them a request may go to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use steadfast_core::{
    Attempt, Class, Classify, Deadline, Event, Exhausted, Next, Observers, OtherEndpoint,
    SameEndpoint, Trail, Verdict, saturating_add,
};
use tokio::time::Instant;

use crate::member::Member;
use crate::strategy::{OnlyEndpoint, Strategy};

/// What all services of a layer share.
pub(crate) struct Pool {
    pub(crate) members: Vec<Member>,
    pub(crate) strategy: Strategy,
    pub(crate) classifier: Arc<dyn Classify + Send + Sync>,
    pub(crate) observers: Observers,
    pub(crate) request_root: String,
    pub(crate) abandoned_after: Option<Duration>,
    pub(crate) start: Instant,
}

/// What a request brings along: its record, and where it wants to go.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) trail: Option<Trail>,
    pub(crate) deadline: Option<Deadline>,
    only: Option<OnlyEndpoint>,
}

/// What that allows at one moment.
#[derive(Debug)]
pub(crate) struct Wishes<'a> {
    only: Option<&'a OnlyEndpoint>,
    tried: Vec<Attempt>,
    /// The last attempt ended just now and another endpoint was promised, so the same one would
    /// be asked without any backoff.
    moves: bool,
}

impl Asked {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self {
            trail: Trail::of(extensions).cloned(),
            deadline: Deadline::of(extensions),
            only: extensions.get().cloned(),
        }
    }

    pub(crate) fn wishes(&self) -> Wishes<'_> {
        let trail = self.trail.as_ref().filter(|trail| !trail.is_empty());
        Wishes {
            only: self.only.as_ref(),
            tried: trail.map(Trail::attempts).unwrap_or_default(),
            moves: trail.is_some_and(|trail| trail.last_next() == Some(Next::Now)),
        }
    }
}

impl Wishes<'_> {
    /// Whether an endpoint that was not tried may take the request.
    fn allows_new(&self, pool: &Pool, member: &Member) -> bool {
        self.is_wanted(member)
            && !self.tried.iter().any(|attempt| is_at(attempt, member))
            && (self.tried.iter()).all(|attempt| pool.may_follow(member, attempt))
    }

    /// Whether an endpoint that was tried may take the request again.
    fn allows_again(&self, pool: &Pool, member: &Member) -> bool {
        let mut once = 0;
        self.is_wanted(member)
            && self.tried.iter().any(|attempt| is_at(attempt, member))
            && self.tried.iter().all(|attempt| {
                if !is_at(attempt, member) {
                    return pool.may_follow(member, attempt);
                }
                match attempt.verdict.same_endpoint() {
                    SameEndpoint::AfterHint | SameEndpoint::AfterBackoff => true,
                    SameEndpoint::OnceAfterBackoff => {
                        once += 1;
                        once <= 1
                    }
                    _ => false,
                }
            })
    }

    fn allows(&self, pool: &Pool, member: &Member) -> bool {
        self.allows_new(pool, member) || self.allows_again(pool, member)
    }

    fn is_wanted(&self, member: &Member) -> bool {
        self.only.is_none_or(|only| only.0 == member.endpoint.name)
    }
}

fn is_at(attempt: &Attempt, member: &Member) -> bool {
    attempt.endpoint.as_ref() == Some(&member.endpoint.name)
}

impl Pool {
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Chooses an endpoint that can take the request now: an untried one of the lowest tier that
    /// has any, or else a tried one whose answers allow it. `skip` were found to be busy.
    pub(crate) fn choose(
        &self,
        wishes: &Wishes<'_>,
        skip: &[usize],
        now: Instant,
    ) -> Option<usize> {
        self.choose_among(skip, now, |member| wishes.allows_new(self, member))
            .or_else(|| {
                if wishes.tried.is_empty() || wishes.moves {
                    return None;
                }
                self.choose_among(skip, now, |member| wishes.allows_again(self, member))
            })
    }

    fn choose_among(
        &self,
        skip: &[usize],
        now: Instant,
        allows: impl Fn(&Member) -> bool,
    ) -> Option<usize> {
        let admissible = |(index, member): &(usize, &Member)| {
            !skip.contains(index) && member.is_admissible(now) && allows(member)
        };
        let members = || self.members.iter().enumerate().filter(admissible);
        let since_start = self.since_start(now);
        let mut lowest = 0;
        loop {
            let tiers = members().map(|(_, member)| member.endpoint.tier);
            let tier = tiers.filter(|tier| *tier >= lowest).min()?;
            let candidates = members()
                .filter(|(_, member)| member.endpoint.tier == tier)
                .map(|(index, member)| member.candidate(index, since_start));
            if let Some(index) = self.strategy.choose(candidates) {
                return Some(index);
            }
            // Another request has taken the last place of this tier meanwhile.
            lowest = tier.checked_add(1)?;
        }
    }

    /// When one of the endpoints that a request may go to recovers, but for those in `skip`.
    pub(crate) fn soonest(
        &self,
        wishes: &Wishes<'_>,
        skip: &[usize],
        now: Instant,
    ) -> Option<Instant> {
        let others = |(index, member): &(usize, &Member)| {
            !skip.contains(index) && wishes.allows(self, member)
        };
        let members = self.members.iter().enumerate().filter(others);
        members.map(|(_, member)| recovery(member, now)).min()
    }

    /// Says when the next attempt of a request can be taken, after one that did not succeed.
    pub(crate) fn next(&self, asked: &Asked, now: Instant) -> Next {
        let wishes = asked.wishes();
        let is_free =
            |member: &Member| wishes.allows_new(self, member) && member.is_admissible(now);
        if self.members.iter().any(is_free) {
            return Next::Now;
        }
        let soonest = self
            .members
            .iter()
            .filter_map(|member| {
                if wishes.allows_again(self, member) && member.is_admissible(now) {
                    Some(now)
                } else if wishes.allows(self, member) {
                    self.end_of_limit(member, now)
                } else {
                    None
                }
            })
            .min();
        soonest.map_or(Next::Never, Next::At)
    }

    /// Refuses a request that no endpoint can take, and says when to come back.
    pub(crate) fn exhausted(&self, asked: &Asked, now: Instant) -> Exhausted {
        let wishes = asked.wishes();
        let allowed = |member: &&Member| wishes.allows(self, member);
        let limited = (self.members.iter().filter(allowed))
            .filter_map(|member| self.end_of_limit(member, now))
            .min();
        let recovery = self.soonest(&wishes, &[], now);
        // No wait is no answer: somebody else was faster.
        let retry_in = recovery
            .map(|at| at.saturating_duration_since(now))
            .filter(|wait| !wait.is_zero());
        let verdict = match limited {
            Some(_) => Verdict::new(Class::RateLimited),
            // Why it is so is known to the breakers already.
            None => Verdict::new(Class::Overloaded).neutral(),
        };
        let trail = asked.trail.clone().unwrap_or_default();
        // A limit passes by itself and is worth waiting for. A pool that is broken is not.
        trail.set_next(limited.map_or(Next::Never, Next::At));
        self.observers.emit(&Event::Exhausted { retry_in });
        Exhausted::new(trail, verdict.with_hint(retry_in), None)
    }

    /// When an endpoint that is limited can take an attempt again. Nothing for a broken one.
    fn end_of_limit(&self, member: &Member, now: Instant) -> Option<Instant> {
        if !member.breaker.would_admit() {
            return None;
        }
        Some(member.cooldown.ready_at(now))
    }

    /// Whether `member` may take a request after what another endpoint answered.
    fn may_follow(&self, member: &Member, attempt: &Attempt) -> bool {
        // The request goes on, so it was not its caller who left but a layer in between.
        if attempt.verdict.class() == Class::Cancelled {
            return true;
        }
        match attempt.verdict.class().other_endpoint() {
            OtherEndpoint::Any => true,
            OtherEndpoint::LargerContext => member.endpoint.larger_context,
            OtherEndpoint::OtherCredential => {
                let tried = self.members.iter().find(|tried| is_at(attempt, tried));
                tried.is_none_or(|tried| tried.endpoint.credential != member.endpoint.credential)
            }
            _ => false,
        }
    }
}

/// When an endpoint can take an attempt again, for whatever reason it cannot now.
fn recovery(member: &Member, now: Instant) -> Instant {
    let cooled = member.cooldown.ready_at(now);
    let closed = member.breaker.retry_in();
    cooled.max(closed.map_or(now, |wait| saturating_add(now, wait)))
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("members", &self.members)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use std::cell::Cell;
    use steadfast_core::DefaultClassifier;

    pub(crate) fn pool(tiers: &[u16]) -> Pool {
        let member = |(n, tier): (usize, &u16)| {
            let endpoint = Endpoint::new(&n.to_string(), "http://a.test").unwrap();
            Member::new(endpoint.tier(*tier), &Observers::new()).unwrap()
        };
        Pool {
            members: tiers.iter().enumerate().map(member).collect(),
            strategy: Strategy::Failover,
            classifier: Arc::new(DefaultClassifier),
            observers: Observers::new(),
            request_root: String::new(),
            abandoned_after: None,
            start: Instant::now(),
        }
    }

    /// Between the two looks at an endpoint another thread may take its last place. The request
    /// was then refused, although the next tier stood idle.
    #[test]
    fn a_place_that_is_lost_meanwhile_leads_to_the_next_tier() {
        let pool = pool(&[0, 1, u16::MAX]);
        let looks = Cell::new(0);
        let lost = |member: &Member| {
            looks.set(looks.get() + usize::from(member.endpoint.tier == 0));
            member.endpoint.tier > 0 || looks.get() == 1
        };
        assert_eq!(pool.choose_among(&[], Instant::now(), lost), Some(1));

        let nobody_twice = Cell::new(true);
        let last =
            |member: &Member| member.endpoint.tier == u16::MAX && nobody_twice.replace(false);
        assert_eq!(pool.choose_among(&[], Instant::now(), last), None);
    }
}
