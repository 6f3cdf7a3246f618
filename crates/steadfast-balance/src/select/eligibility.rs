//! The endpoints to which a request may go, and the instants at which they can take it.

use std::num::NonZeroU64;
use std::time::Duration;

use steadfast_core::{
    Attempt, Class, Deadline, EndpointName, OtherEndpoint, RoutingOptions, SameEndpoint, Verdict,
};
use tokio::time::Instant;

use crate::pool::snapshot::PoolSnapshot;
use crate::state::EndpointState;
use crate::state::availability::Availability;
use crate::state::limits::demand::Demand;

/// The permissions of a request at one instant, by its routing options and its trail.
#[derive(Debug)]
pub(crate) struct Eligibility<'a> {
    /// The endpoints of the pool.
    pub(crate) snapshot: &'a PoolSnapshot,
    /// The routing options of the request.
    pub(crate) options: Option<&'a RoutingOptions>,
    /// The limits that apply to the request.
    pub(crate) demand: &'a Demand,
    /// The caller of the request, if another caller may be accused.
    pub(crate) caller: Option<NonZeroU64>,
    /// The time for which a better endpoint is preferred to a degraded one.
    pub(crate) prefer_wait: Duration,
    /// The deadline of the request.
    pub(crate) deadline: Option<Deadline>,
    /// The request does not wait for one endpoint while another can take it.
    pub(crate) hurries: bool,
    /// When the request arrived, if a layer above has recorded it.
    pub(crate) arrived: Option<Instant>,
    /// The earlier attempts of the request.
    pub(crate) tried: Vec<Attempt>,
    /// Endpoints that other attempts of the request use.
    pub(crate) excluded: Vec<EndpointName>,
    /// Ids of endpoints with a service that failed in `poll_ready`.
    pub(crate) lost: Vec<u64>,
    /// The attempt is a hedge, so it does not return to a tried endpoint.
    pub(crate) is_hedge: bool,
    /// The last attempt ended just now, and its next step is another endpoint. At the same
    /// endpoint, the attempt would have no backoff.
    pub(crate) moves: bool,
}

/// A part of the order in which endpoints are tried after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An untried endpoint.
    Untried,
    /// A second attempt at the same endpoint, before a degraded one. The failure may be a lone
    /// one, or the limit may end soon.
    BeforeDegraded,
    /// Either `Untried` or `BeforeDegraded`.
    Better,
    /// A tried endpoint with verdicts that allow a further attempt.
    Again(Order),
    /// An untried endpoint, or a tried one unless the request moves.
    Next,
    /// An endpoint that may take the request at some time.
    Ever,
}

/// The order of tried endpoints: first the endpoints with the fewest attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The maximum number of attempts at the endpoint.
    pub(crate) attempts: usize,
    /// The last attempt there found no connection, or no answer. Such endpoints come last.
    pub(crate) dead: bool,
}

impl Eligibility<'_> {
    /// Returns when `endpoint` can take the request in this stage.
    ///
    /// Selection, forecast, waiting and the least bad choice share this check.
    pub(crate) fn check(
        &self,
        stage: Stage,
        endpoint: &EndpointState,
        now: Instant,
    ) -> Availability {
        if !self.admits(stage, endpoint) {
            return Availability::Never;
        }
        let availability = endpoint.availability(self.demand, now);
        match self.held_until(endpoint, now) {
            Some(until) => availability.not_before(until),
            None => availability,
        }
    }

    /// Returns whether [`check`](Self::check) would return `Now`, early attempts apart. The fast
    /// path comes first.
    #[inline]
    pub(crate) fn is_now(&self, stage: Stage, endpoint: &EndpointState, now: Instant) -> bool {
        endpoint.is_available(self.demand, now)
            && self.admits(stage, endpoint)
            && self.held_until(endpoint, now).is_none()
    }

    /// Returns the earliest end of a limit of an endpoint. Broken endpoints do not count.
    pub(crate) fn end_of_limit(&self, now: Instant) -> Option<Instant> {
        let active = self.snapshot.active().iter();
        let checks = active.map(|entry| self.check(Stage::Ever, &entry.state, now));
        checks.filter_map(|check| check.end_of_limit(now)).min()
    }

    /// Returns whether `endpoint` takes an early attempt of the request.
    pub(crate) fn is_early(&self, stage: Stage, endpoint: &EndpointState, now: Instant) -> bool {
        self.demand.hurries_since.is_some()
            && endpoint.limits.may_limit(self.demand)
            && self.check(stage, endpoint, now) == Availability::Now
    }

    /// Returns whether the request may go to `endpoint` in this stage. The state of the endpoint
    /// does not matter.
    pub(crate) fn admits(&self, stage: Stage, endpoint: &EndpointState) -> bool {
        if self.is_unrestricted() {
            return !matches!(stage, Stage::BeforeDegraded | Stage::Again(_));
        }
        match stage {
            Stage::Untried => self.admits_untried(endpoint),
            Stage::BeforeDegraded => self.admits_before_degraded(endpoint),
            Stage::Better => self.admits_untried(endpoint) || self.admits_before_degraded(endpoint),
            Stage::Again(order) => {
                let (attempts, dead) = self.history(endpoint);
                attempts <= order.attempts && dead == order.dead && self.admits_again(endpoint)
            }
            Stage::Next => {
                self.admits_untried(endpoint) || self.may_return() && self.admits_again(endpoint)
            }
            Stage::Ever => self.admits_untried(endpoint) || self.admits_again(endpoint),
        }
    }

    /// Returns whether no endpoint of a lower [rank](RoutingOptions::rank) can take the request.
    pub(crate) fn is_lowest_rank(
        &self,
        endpoint: &EndpointState,
        can_take: impl Fn(&EndpointState) -> bool,
    ) -> bool {
        let Some(options) = self.options.filter(|options| options.has_ranks()) else {
            return true;
        };
        let rank = options.rank_of(&endpoint.config.name);
        let mut active = self.snapshot.active().iter().map(|entry| &*entry.state);
        rank == 0
            || !active.any(|other| options.rank_of(&other.config.name) < rank && can_take(other))
    }

    /// Returns whether every endpoint may take the request.
    pub(crate) fn is_unrestricted(&self) -> bool {
        let is_new = self.tried.is_empty() && self.excluded.is_empty() && self.lost.is_empty();
        self.options.is_none() && is_new
    }

    /// Returns the arrival of the request. Waits between two attempts count, although this balancer
    /// did not see the request meanwhile.
    pub(crate) fn since(&self, now: Instant) -> Instant {
        self.arrived.map_or(now, |arrived| arrived.min(now))
    }

    /// Returns whether the routing options prefer `endpoint`.
    pub(crate) fn prefers(&self, endpoint: &EndpointState) -> bool {
        let preferred = self.options.and_then(RoutingOptions::preferred);
        preferred.is_some_and(|name| *name == endpoint.config.name)
    }

    /// Returns whether the routing options prefer an endpoint.
    pub(crate) fn has_preference(&self) -> bool {
        self.options
            .is_some_and(|options| options.preferred().is_some())
    }

    /// Returns whether the request may return to a tried endpoint.
    pub(crate) fn may_return(&self) -> bool {
        !self.tried.is_empty() && !self.moves
    }

    /// Returns the order in which tried endpoints are searched.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Order> + use<> {
        let most = self.tried.len();
        let all = [false, true].into_iter();
        all.flat_map(move |dead| (1..=most).map(move |attempts| Order { attempts, dead }))
    }

    /// Returns the number of attempts at `endpoint`, and whether the last one found nothing there.
    pub(crate) fn history(&self, endpoint: &EndpointState) -> (usize, bool) {
        let mut here = self.tried.iter().filter(|attempt| is_at(attempt, endpoint));
        let (mut attempts, mut dead) = (0, false);
        for attempt in &mut here {
            attempts += 1;
            dead = attempt.verdict.class() == Class::Connect || attempt.silent;
        }
        (attempts, dead)
    }

    /// Returns whether `endpoint` is untried and may follow all earlier attempts.
    fn admits_untried(&self, endpoint: &EndpointState) -> bool {
        self.is_permitted(endpoint)
            && (self.tried.iter())
                .all(|attempt| !is_at(attempt, endpoint) && self.may_follow(endpoint, attempt))
    }

    /// Returns whether `endpoint` was tried and its verdicts allow a further attempt.
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
                    // The endpoint was silent, and may have recovered.
                    SameEndpoint::Never => attempt.silent && self.deadline.is_some(),
                    _ => false,
                }
            })
            && tried
    }

    /// Returns whether a second attempt at `endpoint` comes before a degraded endpoint.
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

    /// Returns whether the routing options and the other attempts permit `endpoint`.
    pub(crate) fn is_permitted(&self, endpoint: &EndpointState) -> bool {
        let name = &endpoint.config.name;
        (self.options).is_none_or(|options| endpoint.config.is_allowed_by(options))
            && !self.excluded.contains(name)
            && !self.lost.contains(&endpoint.id)
    }

    /// Returns whether `endpoint` may take the request after the outcome of an attempt at another
    /// endpoint.
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

/// Returns whether the verdict is a server error or an overload without a hint.
fn is_lone_failure(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::ServerError | Class::Overloaded) && verdict.hint().is_none()
}

/// Returns whether `attempt` was sent to `endpoint`.
pub(super) fn is_at(attempt: &Attempt, endpoint: &EndpointState) -> bool {
    attempt.endpoint.as_ref() == Some(&endpoint.config.name)
}

#[cfg(test)]
mod tests;
