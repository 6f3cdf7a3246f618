//! When a request can go to an endpoint that cannot take it now.

use std::ops::Range;
use std::time::Duration;

use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Class, Event, Exhausted, Verdict};
use tokio::time::Instant;

use crate::admit::queue::Key;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::request_context::{Eligibility, RequestContext};
use crate::state::{Availability, EndpointState};

/// What an endpoint is taken for whose rate is not sure: nobody is refused for a guess.
const UNKNOWN_RATE: f64 = 1_000.0;

impl PoolContext {
    /// When one of the endpoints that a request may go to recovers, but for those in `skip`.
    pub(crate) fn soonest(
        &self,
        snapshot: &PoolSnapshot,
        (eligibility, tokens): (&Eligibility<'_>, Option<u64>),
        skip: &[u64],
        now: Instant,
    ) -> Option<Instant> {
        wanted(snapshot, eligibility)
            .filter(|endpoint| !skip.contains(&endpoint.id))
            .map(|endpoint| endpoint.turn(tokens, now).at().unwrap_or(now))
            .min()
    }

    /// Says when the next attempt of a request can be taken, after one that did not succeed.
    pub(crate) fn next(
        &self,
        snapshot: &PoolSnapshot,
        context: &RequestContext,
        now: Instant,
    ) -> Next {
        let eligibility = context.eligibility_after_all();
        let tokens = context.tokens();
        let key = Key::behind(eligibility.since(now));
        let claims = self.signals.queue.claims(key, snapshot.everybody(), now);
        let is_free =
            |endpoint: &EndpointState| endpoint.is_admissible(tokens, now) && !claims.has(endpoint);
        let find = |tier: Range<usize>, allows: &dyn Fn(&EndpointState) -> bool| {
            let mut tier = snapshot.active()[tier].iter();
            tier.find(|entry| is_free(&entry.state) && allows(&entry.state))
                .map(|entry| Eligibility::allows_new(&eligibility, snapshot, &entry.state))
        };
        // Whoever is asked again at once must not come back to where it was, but for an accident.
        match self.look(snapshot, (&eligibility, &[]), now, find) {
            Ok(true) => return Next::Now,
            Ok(false) if self.config.quick_retry && self.is_quick(snapshot, &eligibility, now) => {
                return Next::RetrySameNow;
            }
            Ok(false) => return Next::At(now),
            Err(_) => {}
        }
        // With a deadline that bounds it, a turn elsewhere is waited for in the queue.
        let turns = wanted(snapshot, &eligibility).any(|endpoint| {
            eligibility.allows_new(snapshot, endpoint)
                && matches!(
                    endpoint.turn(tokens, now),
                    Availability::Now | Availability::Paced(_)
                )
        });
        if turns && context.deadline.is_some() {
            return Next::Now;
        }
        let limits = wanted(snapshot, &eligibility)
            .filter_map(|endpoint| end_of_limit(endpoint, tokens, now));
        limits.min().map_or(Next::Never, Next::At)
    }

    fn is_quick(
        &self,
        snapshot: &PoolSnapshot,
        eligibility: &Eligibility<'_>,
        now: Instant,
    ) -> bool {
        wanted(snapshot, eligibility).any(|endpoint| {
            endpoint.is_admissible(None, now)
                && eligibility.allows_before_next_tier(self, snapshot, endpoint)
        })
    }

    /// Refuses a request that no endpoint can take, and says when to come back. One that was
    /// refused since its time would not do is not to come back.
    pub(crate) fn exhausted(
        &self,
        snapshot: &PoolSnapshot,
        context: &RequestContext,
        in_time: bool,
        now: Instant,
    ) -> Exhausted {
        let eligibility = context.eligibility();
        let tokens = context.tokens();
        let limited = wanted(snapshot, &eligibility)
            .filter_map(|endpoint| end_of_limit(endpoint, tokens, now))
            .min();
        let recovery = self.soonest(snapshot, (&eligibility, tokens), &[], now);
        // No wait is no answer: somebody else was faster.
        let retry_in = recovery
            .map(|at| at.saturating_duration_since(now))
            .filter(|wait| !wait.is_zero());
        let verdict = match limited {
            Some(_) => Verdict::new(Class::RateLimited),
            // Why it is so is known to the breakers already.
            None => Verdict::new(Class::Overloaded).neutral(),
        };
        let trail = context.trail.clone().unwrap_or_default();
        // A limit passes by itself and is worth waiting for. A pool that is broken is not.
        let next = limited.filter(|_| in_time);
        trail.set_next(next.map_or(Next::Never, Next::At));
        self.signals.observers.emit(&Event::Exhausted { retry_in });
        Exhausted::new(trail, verdict.with_hint(retry_in), None)
    }

    /// How long a request would wait in the queue behind `ahead` others.
    pub(crate) fn wait_behind<'a>(
        ahead: usize,
        wanted: impl Iterator<Item = &'a EndpointState>,
        tokens: Option<u64>,
        now: Instant,
    ) -> Duration {
        let turns = wanted.filter_map(|endpoint| {
            let ready = match endpoint.turn(tokens, now) {
                Availability::Now => now,
                Availability::Paced(at) | Availability::Limited(at) => at,
                Availability::Broken(_) => return None,
            };
            let rate = endpoint.cooldown.confirmed_rate().unwrap_or(UNKNOWN_RATE);
            Some((ready.saturating_duration_since(now).as_secs_f64(), rate))
        });
        seconds_until(ahead as f64 + 1.0, turns.collect())
    }
}

/// The endpoints that a request may go to.
pub(crate) fn wanted<'a>(
    snapshot: &'a PoolSnapshot,
    eligibility: &'a Eligibility<'_>,
) -> impl Iterator<Item = &'a EndpointState> + 'a {
    let all = snapshot.active().iter().map(|entry| &*entry.state);
    all.filter(|endpoint| eligibility.allows(snapshot, endpoint))
}

/// When an endpoint that is limited can take an attempt again. Nothing for a broken one.
fn end_of_limit(endpoint: &EndpointState, tokens: Option<u64>, now: Instant) -> Option<Instant> {
    match endpoint.turn(tokens, now) {
        Availability::Broken(_) => None,
        turn => Some(turn.at().unwrap_or(now)),
    }
}

/// When so many turns have come, from endpoints which each begin at some time and then have a rate.
fn seconds_until(turns: f64, mut endpoints: Vec<(f64, f64)>) -> Duration {
    endpoints.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut came, mut rate, mut now) = (0.0, 0.0, 0.0);
    for (begin, more) in endpoints {
        let until = now + (turns - came) / rate;
        if rate > 0.0 && until <= begin {
            return Duration::try_from_secs_f64(until).unwrap_or(Duration::MAX);
        }
        // The first turn is there when it begins.
        came += rate * (begin - now) + 1.0;
        rate += more;
        now = begin;
        if came >= turns {
            return Duration::try_from_secs_f64(now).unwrap_or(Duration::MAX);
        }
    }
    if rate <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(now + (turns - came) / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_enough_turns_have_come() {
        let seconds = |turns, endpoints: &[(f64, f64)]| {
            seconds_until(turns, endpoints.to_vec()).as_secs_f64()
        };
        assert_eq!(seconds(1.0, &[(0.5, 2.0)]), 0.5, "the first turn");
        assert_eq!(seconds(3.0, &[(0.5, 2.0)]), 1.5, "and two half seconds");
        assert_eq!(seconds(3.0, &[(0.5, 2.0), (0.75, 4.0)]), 0.833333333);
        assert_eq!(
            seconds(2.0, &[(0.5, 2.0), (9.0, 4.0)]),
            1.0,
            "before the second begins"
        );
        assert_eq!(seconds(5.0, &[]), 0.0, "nothing is known");
    }
}
