//! Which endpoint a request goes to now.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Extensions;
use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::queue::Claims;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::{ActiveEndpoint, PoolSnapshot};
use crate::select::candidates::{Candidates, PickContext, Set};
use crate::select::request_context::{Eligibility, RequestContext};
use crate::select::strategy::Sample;
use crate::state::{Availability, EndpointState};

/// How many candidates are looked at one by one. Of more, some strategies want only two.
const FEW: usize = 16;
/// How many draws it takes at most to find two candidates at random. If most endpoints cannot take
/// the request, all are looked at.
const DRAWS: usize = 8;
/// How often a pool whose endpoints are all broken lets an attempt through all the same.
const LAST_RESORT: Duration = Duration::from_secs(1);

/// What is found for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The endpoint at this place among the active ones.
    Endpoint(usize),
    /// An endpoint that is worth waiting for although others of a higher tier could take the
    /// request. It is one of so many that come first among the active ones.
    WorthWaiting(usize),
    Nobody,
}

impl PoolContext {
    /// Looks for an endpoint: an untried one of the lowest tier that has any, or else a tried one
    /// whose answers allow it. `find` looks through a tier for what the closure allows.
    pub(crate) fn look<T>(
        &self,
        snapshot: &PoolSnapshot,
        (eligibility, skip): (&Eligibility<'_>, &[u64]),
        now: Instant,
        mut find: impl FnMut(Range<usize>, &dyn Fn(&EndpointState) -> bool) -> Option<T>,
    ) -> Result<T, Selection> {
        let stays = self.prefers_to_wait() || self.config.quick_retry;
        let last = snapshot.tiers().last();
        for tier in snapshot.tiers() {
            let found = find(tier.clone(), &|endpoint| {
                eligibility.allows_new(snapshot, endpoint)
            });
            if let Some(found) = found {
                return Ok(found);
            }
            if !stays || Some(&tier) == last.as_ref() {
                continue;
            }
            let stay = |endpoint: &EndpointState| {
                eligibility.allows_before_next_tier(self, snapshot, endpoint)
            };
            if let Some(found) = find(tier.clone(), &stay) {
                return Ok(found);
            }
            if self.prefers_to_wait()
                && !eligibility.hurries
                && self.is_soon(snapshot, tier.clone(), (eligibility, skip), now)
            {
                return Err(Selection::WorthWaiting(tier.end));
            }
        }
        if eligibility.may_return() {
            for tier in snapshot.tiers() {
                let again = |endpoint: &EndpointState| eligibility.allows_again(snapshot, endpoint);
                if let Some(found) = find(tier, &again) {
                    return Ok(found);
                }
            }
        }
        Err(Selection::Nobody)
    }

    /// Whether an endpoint of this tier takes the request so soon that no higher one has to.
    fn is_soon(
        &self,
        snapshot: &PoolSnapshot,
        tier: Range<usize>,
        (eligibility, skip): (&Eligibility<'_>, &[u64]),
        now: Instant,
    ) -> bool {
        let bound = saturating_add(eligibility.since(now), self.config.prefer_wait_below);
        snapshot.active()[tier].iter().any(|entry| {
            let endpoint = &*entry.state;
            let may = eligibility.allows_new(snapshot, endpoint)
                || eligibility.allows_before_next_tier(self, snapshot, endpoint);
            match endpoint.turn(eligibility.tokens(), now) {
                Availability::Paced(at) | Availability::Limited(at) => may && at <= bound,
                // Whose turn it is has not looked yet.
                Availability::Now => may && !skip.contains(&endpoint.id),
                Availability::Broken(_) => false,
            }
        })
    }

    /// Chooses an endpoint that can take the request now. Those with an id in `skip` were found to
    /// be busy, and those in `claims` belong to others who wait.
    pub(crate) fn choose(
        &self,
        snapshot: &PoolSnapshot,
        (eligibility, context): (&Eligibility<'_>, &RequestContext),
        extensions: &Extensions,
        (skip, claims): (&[u64], &Claims),
        now: Instant,
    ) -> Selection {
        if matches!(claims, Claims::All) {
            return Selection::Nobody;
        }
        let asking = PickContext {
            extensions,
            wishes: context.wishes.as_ref(),
            now,
            start: self.start,
            round: &self.draws.round,
        };
        let tokens = context.tokens();
        let is_free = |endpoint: &EndpointState| {
            !skip.contains(&endpoint.id)
                && endpoint.is_admissible(tokens, now)
                && !claims.has(endpoint)
        };
        if eligibility.has_preference() {
            let mut active = snapshot.active().iter();
            let preferred = active.position(|entry| {
                let endpoint = &*entry.state;
                eligibility.prefers(endpoint)
                    && is_free(endpoint)
                    && eligibility.allows_new(snapshot, endpoint)
            });
            if let Some(at) = preferred {
                return Selection::Endpoint(at);
            }
        }
        if eligibility.is_anybody() && skip.is_empty() && matches!(claims, Claims::None) {
            // Most requests: any endpoint will do, none was tried, and nobody waits.
            let is_free = |endpoint: &EndpointState| endpoint.is_admissible(None, now);
            let first = snapshot.tiers().next();
            let found = first.and_then(|tier| self.pick(snapshot, tier, &asking, is_free));
            if let Some(at) = found {
                return Selection::Endpoint(at);
            }
        }
        self.look(snapshot, (eligibility, skip), now, |tier, allows| {
            self.pick(snapshot, tier, &asking, |endpoint| {
                is_free(endpoint) && allows(endpoint)
            })
        })
        .map_or_else(|found| found, Selection::Endpoint)
    }

    /// Lets the strategy choose among those of a tier that can take the request.
    fn pick(
        &self,
        snapshot: &PoolSnapshot,
        tier: Range<usize>,
        asking: &PickContext<'_>,
        can_take: impl Fn(&EndpointState) -> bool,
    ) -> Option<usize> {
        let (start, entries) = (tier.start, &snapshot.active()[tier]);
        let can_take = |entry: &ActiveEndpoint| can_take(&entry.state);
        let sample = self.config.strategy.sample();
        if sample == Sample::First {
            return entries.iter().position(can_take).map(|at| start + at);
        }
        let choose = |set: Set<'_>| {
            let candidates = Candidates::new((entries, start), set, asking);
            let chosen = match candidates.len() {
                0 | 1 => None,
                _ => self.config.strategy.pick(asking, candidates),
            };
            let chosen = chosen.or_else(|| candidates.iter().next())?;
            Some(chosen.index())
        };
        if sample == Sample::Two && entries.len() > FEW {
            if let Some(two) = self.draw_two(entries.len(), |at| can_take(&entries[at])) {
                return choose(Set::Two(two));
            }
        }
        let bits = |word: &[ActiveEndpoint]| {
            let bit = |(at, entry): (usize, &ActiveEndpoint)| u64::from(can_take(entry)) << at;
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
        snapshot: &PoolSnapshot,
        eligibility: &Eligibility<'_>,
        skip: &[u64],
        now: Instant,
    ) -> Option<usize> {
        let mut best: Option<(Instant, usize)> = None;
        for (at, entry) in snapshot.active().iter().enumerate() {
            let endpoint = &*entry.state;
            if !eligibility.allows_new(snapshot, endpoint) {
                continue;
            }
            // One that is isolated by hand is not to be asked.
            if endpoint.cooldown.until(now).is_some() || endpoint.breaker.is_isolated() {
                return None;
            }
            match endpoint.turn(None, now) {
                Availability::Broken(_) if skip.contains(&endpoint.id) => {}
                Availability::Broken(ready) => {
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
    use crate::select::strategy::Strategy;
    use std::cell::Cell;

    /// Between the two looks at an endpoint another thread may take its last place. The request
    /// was then refused, although the next tier stood idle.
    #[test]
    fn a_place_that_is_lost_meanwhile_leads_to_the_next_tier() {
        let pool = pool(&[0, 1, u16::MAX]);
        let snapshot = pool.snapshot();
        let context = RequestContext::default();
        let looks = Cell::new(0);
        let found = pool.shared.look(
            &snapshot,
            (&context.eligibility(), &[]),
            Instant::now(),
            |tier, _| {
                looks.set(looks.get() + 1);
                (snapshot.active()[tier.start].tier > 0).then_some(tier.start)
            },
        );
        assert_eq!((found, looks.get()), (Ok(1), 2));
    }

    #[test]
    fn of_many_two_are_drawn() {
        let shared = shared(Strategy::LeastLoaded);
        let endpoint = |n: usize| Endpoint::new(&n.to_string(), "http://a.test").unwrap();
        let pool = Pool::new(shared, (0..64).map(endpoint).collect()).unwrap();
        let snapshot = pool.snapshot();
        let context = RequestContext::default();
        let (eligibility, extensions) = (context.eligibility(), Extensions::new());
        let mut chosen = [0_u32; 64];
        for _ in 0..6_400 {
            let ask = (&eligibility, &context);
            let now = Instant::now();
            let found =
                (pool.shared).choose(&snapshot, ask, &extensions, (&[], &Claims::None), now);
            let Selection::Endpoint(at) = found else {
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
        for entry in &snapshot.active()[1..] {
            entry.state.breaker.isolate();
        }
        let ask = (&eligibility, &context);
        let claims = (&[][..], &Claims::None);
        let found = pool
            .shared
            .choose(&snapshot, ask, &extensions, claims, Instant::now());
        assert_eq!(found, Selection::Endpoint(0));
    }
}
