//! When a request can go to an endpoint that cannot take it now.

use std::ops::Range;
use std::time::Duration;

use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Class, Event, Exhausted, Next, Verdict};
use tokio::time::Instant;

use crate::asked::{Allowed, Asked};
use crate::member::{Member, Turn};
use crate::members::Members;
use crate::pool::Shared;
use crate::queue::Key;

/// What an endpoint is taken for whose rate is not sure: nobody is refused for a guess.
const UNKNOWN_RATE: f64 = 1_000.0;

impl Shared {
    /// When one of the endpoints that a request may go to recovers, but for those in `skip`.
    pub(crate) fn soonest(
        &self,
        members: &Members,
        (allowed, tokens): (&Allowed<'_>, Option<u64>),
        skip: &[u64],
        now: Instant,
    ) -> Option<Instant> {
        wanted(members, allowed)
            .filter(|member| !skip.contains(&member.id))
            .map(|member| member.turn(tokens, now).at().unwrap_or(now))
            .min()
    }

    /// Says when the next attempt of a request can be taken, after one that did not succeed.
    pub(crate) fn next(&self, members: &Members, asked: &Asked, now: Instant) -> Next {
        let allowed = asked.allowed_after_all();
        let tokens = asked.tokens();
        let key = Key::behind(allowed.since(now));
        let claims = self.queue.claims(key, members.everybody(), now);
        let is_free = |member: &Member| member.is_admissible(tokens, now) && !claims.has(member);
        let find = |tier: Range<usize>, allows: &dyn Fn(&Member) -> bool| {
            let mut tier = members.active()[tier].iter();
            tier.find(|entry| is_free(&entry.member) && allows(&entry.member))
                .map(|entry| Allowed::allows_new(&allowed, members, &entry.member))
        };
        // Whoever is asked again at once must not come back to where it was, but for an accident.
        match self.look(members, (&allowed, &[]), now, find) {
            Ok(true) => return Next::Now,
            Ok(false) if self.rules.quick_retry && self.is_quick(members, &allowed, now) => {
                return Next::RetrySameNow;
            }
            Ok(false) => return Next::At(now),
            Err(_) => {}
        }
        // With a deadline that bounds it, a turn elsewhere is waited for in the queue.
        let turns = wanted(members, &allowed).any(|member| {
            allowed.allows_new(members, member)
                && matches!(member.turn(tokens, now), Turn::Now | Turn::Paced(_))
        });
        if turns && asked.deadline.is_some() {
            return Next::Now;
        }
        let limits =
            wanted(members, &allowed).filter_map(|member| end_of_limit(member, tokens, now));
        limits.min().map_or(Next::Never, Next::At)
    }

    fn is_quick(&self, members: &Members, allowed: &Allowed<'_>, now: Instant) -> bool {
        wanted(members, allowed).any(|member| {
            member.is_admissible(None, now)
                && allowed.allows_before_next_tier(self, members, member)
        })
    }

    /// Refuses a request that no endpoint can take, and says when to come back. One that was
    /// refused since its time would not do is not to come back.
    pub(crate) fn exhausted(
        &self,
        members: &Members,
        asked: &Asked,
        in_time: bool,
        now: Instant,
    ) -> Exhausted {
        let allowed = asked.allowed();
        let tokens = asked.tokens();
        let limited = wanted(members, &allowed)
            .filter_map(|member| end_of_limit(member, tokens, now))
            .min();
        let recovery = self.soonest(members, (&allowed, tokens), &[], now);
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
        let next = limited.filter(|_| in_time);
        trail.set_next(next.map_or(Next::Never, Next::At));
        self.rules.observers.emit(&Event::Exhausted { retry_in });
        Exhausted::new(trail, verdict.with_hint(retry_in), None)
    }

    /// How long a request would wait in the queue behind `ahead` others.
    pub(crate) fn wait_behind<'a>(
        ahead: usize,
        wanted: impl Iterator<Item = &'a Member>,
        tokens: Option<u64>,
        now: Instant,
    ) -> Duration {
        let turns = wanted.filter_map(|member| {
            let ready = match member.turn(tokens, now) {
                Turn::Now => now,
                Turn::Paced(at) | Turn::Limited(at) => at,
                Turn::Broken(_) => return None,
            };
            let rate = member.cooldown.confirmed_rate().unwrap_or(UNKNOWN_RATE);
            Some((ready.saturating_duration_since(now).as_secs_f64(), rate))
        });
        seconds_until(ahead as f64 + 1.0, turns.collect())
    }
}

/// The endpoints that a request may go to.
pub(crate) fn wanted<'a>(
    members: &'a Members,
    allowed: &'a Allowed<'_>,
) -> impl Iterator<Item = &'a Member> + 'a {
    let all = members.active().iter().map(|entry| &*entry.member);
    all.filter(|member| allowed.allows(members, member))
}

/// When an endpoint that is limited can take an attempt again. Nothing for a broken one.
fn end_of_limit(member: &Member, tokens: Option<u64>, now: Instant) -> Option<Instant> {
    match member.turn(tokens, now) {
        Turn::Broken(_) => None,
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
