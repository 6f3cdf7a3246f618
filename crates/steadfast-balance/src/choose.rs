//! Which endpoint a request goes to now.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Extensions;
use steadfast_core::saturating_add;
use tokio::time::Instant;

use crate::asked::{Allowed, Asked};
use crate::candidate::{Candidates, PickContext, Set};
use crate::member::{Member, Turn};
use crate::members::{Entry, Members};
use crate::pool::Shared;
use crate::queue::Claims;
use crate::strategy::Sample;

/// How many candidates are looked at one by one. Of more, some strategies want only two.
const FEW: usize = 16;
/// How many draws it takes at most to find two candidates at random. If most endpoints cannot take
/// the request, all are looked at.
const DRAWS: usize = 8;
/// How often a pool whose endpoints are all broken lets an attempt through all the same.
const LAST_RESORT: Duration = Duration::from_secs(1);

/// What is found for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The endpoint at this place among the active ones.
    Endpoint(usize),
    /// An endpoint that is worth waiting for although others of a higher tier could take the
    /// request. It is one of so many that come first among the active ones.
    WorthWaiting(usize),
    Nobody,
}

impl Shared {
    /// Looks for an endpoint: an untried one of the lowest tier that has any, or else a tried one
    /// whose answers allow it. `find` looks through a tier for what the closure allows.
    pub(crate) fn look<T>(
        &self,
        members: &Members,
        (allowed, skip): (&Allowed<'_>, &[u64]),
        now: Instant,
        mut find: impl FnMut(Range<usize>, &dyn Fn(&Member) -> bool) -> Option<T>,
    ) -> Result<T, Found> {
        let stays = self.prefers_to_wait() || self.rules.quick_retry;
        let last = members.tiers().last();
        for tier in members.tiers() {
            let found = find(tier.clone(), &|member| allowed.allows_new(members, member));
            if let Some(found) = found {
                return Ok(found);
            }
            if !stays || Some(&tier) == last.as_ref() {
                continue;
            }
            let stay = |member: &Member| allowed.allows_before_next_tier(self, members, member);
            if let Some(found) = find(tier.clone(), &stay) {
                return Ok(found);
            }
            if self.prefers_to_wait()
                && !allowed.hurries
                && self.is_soon(members, tier.clone(), (allowed, skip), now)
            {
                return Err(Found::WorthWaiting(tier.end));
            }
        }
        if allowed.may_return() {
            for tier in members.tiers() {
                let again = |member: &Member| allowed.allows_again(members, member);
                if let Some(found) = find(tier, &again) {
                    return Ok(found);
                }
            }
        }
        Err(Found::Nobody)
    }

    /// Whether an endpoint of this tier takes the request so soon that no higher one has to.
    fn is_soon(
        &self,
        members: &Members,
        tier: Range<usize>,
        (allowed, skip): (&Allowed<'_>, &[u64]),
        now: Instant,
    ) -> bool {
        let bound = saturating_add(allowed.since(now), self.rules.prefer_wait_below);
        members.active()[tier].iter().any(|entry| {
            let member = &*entry.member;
            let may = allowed.allows_new(members, member)
                || allowed.allows_before_next_tier(self, members, member);
            match member.turn(allowed.tokens(), now) {
                Turn::Paced(at) | Turn::Limited(at) => may && at <= bound,
                // Whose turn it is has not looked yet.
                Turn::Now => may && !skip.contains(&member.id),
                Turn::Broken(_) => false,
            }
        })
    }

    /// Chooses an endpoint that can take the request now. Those with an id in `skip` were found to
    /// be busy, and those in `claims` belong to others who wait.
    pub(crate) fn choose(
        &self,
        members: &Members,
        (allowed, asked): (&Allowed<'_>, &Asked),
        extensions: &Extensions,
        (skip, claims): (&[u64], &Claims),
        now: Instant,
    ) -> Found {
        if matches!(claims, Claims::All) {
            return Found::Nobody;
        }
        let asking = PickContext {
            extensions,
            wishes: asked.wishes.as_ref(),
            now,
            start: self.start,
            round: &self.draws.round,
        };
        let tokens = asked.tokens();
        let is_free = |member: &Member| {
            !skip.contains(&member.id) && member.is_admissible(tokens, now) && !claims.has(member)
        };
        if allowed.has_preference() {
            let mut active = members.active().iter();
            let preferred = active.position(|entry| {
                let member = &*entry.member;
                allowed.prefers(member) && is_free(member) && allowed.allows_new(members, member)
            });
            if let Some(at) = preferred {
                return Found::Endpoint(at);
            }
        }
        if allowed.is_anybody() && skip.is_empty() && matches!(claims, Claims::None) {
            // Most requests: any endpoint will do, none was tried, and nobody waits.
            let is_free = |member: &Member| member.is_admissible(None, now);
            let first = members.tiers().next();
            let found = first.and_then(|tier| self.pick(members, tier, &asking, is_free));
            if let Some(at) = found {
                return Found::Endpoint(at);
            }
        }
        self.look(members, (allowed, skip), now, |tier, allows| {
            self.pick(members, tier, &asking, |member| {
                is_free(member) && allows(member)
            })
        })
        .map_or_else(|found| found, Found::Endpoint)
    }

    /// Lets the strategy choose among those of a tier that can take the request.
    fn pick(
        &self,
        members: &Members,
        tier: Range<usize>,
        asking: &PickContext<'_>,
        can_take: impl Fn(&Member) -> bool,
    ) -> Option<usize> {
        let (start, entries) = (tier.start, &members.active()[tier]);
        let can_take = |entry: &Entry| can_take(&entry.member);
        let sample = self.rules.strategy.sample();
        if sample == Sample::First {
            return entries.iter().position(can_take).map(|at| start + at);
        }
        let choose = |set: Set<'_>| {
            let candidates = Candidates::new((entries, start), set, asking);
            let chosen = match candidates.len() {
                0 | 1 => None,
                _ => self.rules.strategy.pick(asking, candidates),
            };
            let chosen = chosen.or_else(|| candidates.iter().next())?;
            Some(chosen.index())
        };
        if sample == Sample::Two && entries.len() > FEW {
            if let Some(two) = self.draw_two(entries.len(), |at| can_take(&entries[at])) {
                return choose(Set::Two(two));
            }
        }
        let bits = |word: &[Entry]| {
            let bit = |(at, entry): (usize, &Entry)| u64::from(can_take(entry)) << at;
            word.iter()
                .enumerate()
                .map(bit)
                .fold(0, |all, bit| all | bit)
        };
        if entries.len() <= 64 {
            return choose(Set::Bits(&[bits(entries)]));
        }
        let words: Vec<u64> = entries.chunks(64).map(bits).collect();
        choose(Set::Bits(&words))
    }

    /// Draws two different ones that can take the request.
    fn draw_two(&self, count: usize, can_take: impl Fn(usize) -> bool) -> Option<[usize; 2]> {
        let mut first = None;
        for _ in 0..DRAWS {
            let at = self.draws.dice.below(count);
            if first == Some(at) || !can_take(at) {
                continue;
            }
            if let Some(first) = first.replace(at) {
                return Some([first, at]);
            }
        }
        None
    }

    /// Chooses an endpoint although all are broken, if none is limited and it is time for that.
    pub(crate) fn least_bad(
        &self,
        members: &Members,
        allowed: &Allowed<'_>,
        skip: &[u64],
        now: Instant,
    ) -> Option<usize> {
        let mut best: Option<(Instant, usize)> = None;
        for (at, entry) in members.active().iter().enumerate() {
            let member = &*entry.member;
            if !allowed.allows_new(members, member) {
                continue;
            }
            // One that is isolated by hand is not to be asked.
            if member.cooldown.until(now).is_some() || member.breaker.is_isolated() {
                return None;
            }
            match member.turn(None, now) {
                Turn::Broken(_) if skip.contains(&member.id) => {}
                Turn::Broken(ready) => {
                    best = best
                        .filter(|(best, _)| *best <= ready)
                        .or(Some((ready, at)));
                }
                // It is well, though its service may be busy.
                _ => return None,
            }
        }
        let (_, at) = best?;
        let since_start = u64::try_from(self.since_start(now).as_nanos()).unwrap_or(u64::MAX);
        let order = Ordering::Relaxed;
        let due = |last: u64| {
            let due =
                last == 0 || since_start.saturating_sub(last) >= LAST_RESORT.as_nanos() as u64;
            due.then_some(since_start.max(1))
        };
        self.draws
            .last_resort
            .fetch_update(order, order, due)
            .ok()?;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::pool::Pool;
    use crate::pool::tests::{pool, shared};
    use crate::strategy::Strategy;
    use std::cell::Cell;

    /// Between the two looks at an endpoint another thread may take its last place. The request
    /// was then refused, although the next tier stood idle.
    #[test]
    fn a_place_that_is_lost_meanwhile_leads_to_the_next_tier() {
        let pool = pool(&[0, 1, u16::MAX]);
        let members = pool.members();
        let asked = Asked::default();
        let looks = Cell::new(0);
        let found = pool.shared.look(
            &members,
            (&asked.allowed(), &[]),
            Instant::now(),
            |tier, _| {
                looks.set(looks.get() + 1);
                (members.active()[tier.start].tier > 0).then_some(tier.start)
            },
        );
        assert_eq!((found, looks.get()), (Ok(1), 2));
    }

    #[test]
    fn of_many_two_are_drawn() {
        let shared = shared(Strategy::LeastLoaded);
        let endpoint = |n: usize| Endpoint::new(&n.to_string(), "http://a.test").unwrap();
        let pool = Pool::new(shared, (0..64).map(endpoint).collect()).unwrap();
        let members = pool.members();
        let asked = Asked::default();
        let (allowed, extensions) = (asked.allowed(), Extensions::new());
        let mut chosen = [0_u32; 64];
        for _ in 0..6_400 {
            let ask = (&allowed, &asked);
            let now = Instant::now();
            let found = (pool.shared).choose(&members, ask, &extensions, (&[], &Claims::None), now);
            let Found::Endpoint(at) = found else {
                panic!("{found:?}");
            };
            chosen[at] += 1;
        }
        // All are equally loaded, so each is expected 100 times, with a deviation of 10.
        assert!(
            chosen.iter().all(|count| (50..150).contains(count)),
            "{chosen:?}"
        );

        // With one that can take it among many that cannot, it is found all the same.
        for entry in &members.active()[1..] {
            entry.member.breaker.isolate();
        }
        let ask = (&allowed, &asked);
        let claims = (&[][..], &Claims::None);
        let found = pool
            .shared
            .choose(&members, ask, &extensions, claims, Instant::now());
        assert_eq!(found, Found::Endpoint(0));
    }
}
