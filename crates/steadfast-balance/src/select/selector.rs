//! The selection of an endpoint that can take a request now.

use std::cell::Cell;
use std::ops::Range;

use http::Extensions;
use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::queue::Claims;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::{ActiveEndpoint, PoolSnapshot};
use crate::select::candidates::Candidates;
use crate::select::doubt::is_in_doubt;
use crate::select::eligibility::{Eligibility, Stage};
use crate::select::pick::Sample;
use crate::select::pick_context::PickContext;
use crate::state::EndpointState;
use crate::state::availability::Availability;

/// The largest number of endpoints in a tier for which all are checked. In a larger tier, some
/// strategies need only two.
const FEW: usize = 16;
/// The maximum number of draws for two random candidates. If most endpoints cannot take the
/// request, all are checked.
const DRAWS: usize = 8;
/// The maximum number of endpoints in a tier for which the indices need no allocation.
const INLINE: usize = 64;

/// The result of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The index of the endpoint among the active endpoints.
    Endpoint(usize),
    /// The index of an endpoint that takes an attempt only before its send rate allows it.
    Early(usize),
    /// The number of first endpoints of which one is worth a wait. A degraded endpoint could take
    /// the request at once.
    WorthWaiting(usize),
    /// No endpoint can take the request now.
    NoneAdmissible,
}

/// The choice of a strategy.
#[derive(Clone, Copy)]
struct Picked {
    /// The index of the endpoint among the active endpoints.
    at: usize,
    /// Whether the endpoint is in doubt, as are all others of its tier.
    in_doubt: bool,
}

/// Endpoints that cannot take a request now although their own state admits it.
#[derive(Clone, Copy)]
pub(crate) struct Exclusions<'a> {
    /// Ids of endpoints with a busy service.
    pub(crate) skip: &'a [u64],
    /// Endpoints that are claimed by waiters in the queue.
    pub(crate) claims: &'a Claims,
}

impl Exclusions<'_> {
    #[inline]
    fn has(&self, endpoint: &EndpointState) -> bool {
        self.skip.contains(&endpoint.id) || self.claims.has(endpoint)
    }
}

impl PoolContext {
    /// Searches for an endpoint in the order after a failed attempt. Untried endpoints come first,
    /// tier by tier, and then tried ones, those with the fewest attempts first. All better
    /// endpoints come before a degraded one.
    ///
    /// `find` searches a range of the active endpoints for one stage.
    pub(crate) fn search<T>(
        &self,
        eligibility: &Eligibility<'_>,
        skip: &[u64],
        now: Instant,
        mut find: impl FnMut(Range<usize>, Stage) -> Option<T>,
    ) -> Result<T, Selection> {
        let snapshot = eligibility.snapshot;
        for tier in snapshot.tiers() {
            if snapshot.is_first_degraded(&tier) {
                let better = snapshot.tiers().take_while(|better| *better != tier);
                for better in better {
                    if let Some(found) = find(better, Stage::BeforeDegraded) {
                        return Ok(found);
                    }
                }
                if !eligibility.hurries && is_soon(eligibility, tier.start, skip, now) {
                    return Err(Selection::WorthWaiting(tier.start));
                }
            }
            if let Some(found) = find(tier, Stage::Untried) {
                return Ok(found);
            }
        }
        if eligibility.may_return() {
            for order in eligibility.orders() {
                for tier in snapshot.tiers() {
                    if let Some(found) = find(tier, Stage::Again(order)) {
                        return Ok(found);
                    }
                }
            }
        }
        Err(Selection::NoneAdmissible)
    }

    /// Selects an endpoint that can take the request now.
    pub(crate) fn choose(
        &self,
        eligibility: &Eligibility<'_>,
        extensions: &Extensions,
        exclusions: Exclusions<'_>,
        now: Instant,
    ) -> Selection {
        let (snapshot, claims) = (eligibility.snapshot, exclusions.claims);
        if matches!(claims, Claims::All) {
            return Selection::NoneAdmissible;
        }
        let request = PickContext {
            extensions,
            options: eligibility.options,
            demand: eligibility.demand,
            now,
            start: self.start,
            round: &self.draws.round,
            turns: &self.draws.turns,
        };
        if eligibility.has_preference() {
            let mut active = snapshot.active().iter();
            let preferred = active.position(|entry| {
                let endpoint = &*entry.state;
                eligibility.prefers(endpoint)
                    && !exclusions.has(endpoint)
                    && eligibility.is_now(Stage::Untried, endpoint, now)
            });
            if let Some(at) = preferred {
                return Selection::Endpoint(at);
            }
        }
        let selection = match self.choose_at_rate(eligibility, &request, exclusions) {
            Ok(picked) if !picked.in_doubt => return Selection::Endpoint(picked.at),
            // A refusal costs less than an attempt without an answer.
            Ok(picked) => Selection::Endpoint(picked.at),
            Err(none) => none,
        };
        self.choose_early(selection, eligibility, &request, exclusions)
    }

    /// Selects an endpoint with a send rate that allows the request now.
    #[inline]
    fn choose_at_rate(
        &self,
        eligibility: &Eligibility<'_>,
        request: &PickContext<'_>,
        exclusions: Exclusions<'_>,
    ) -> Result<Picked, Selection> {
        let (snapshot, now) = (eligibility.snapshot, request.now);
        let is_whole = exclusions.skip.is_empty() && matches!(exclusions.claims, Claims::None);
        if is_whole && eligibility.is_unrestricted() {
            // The common case: every endpoint is eligible, none was tried, and the queue is empty.
            let demand = eligibility.demand;
            let is_free = move |endpoint: &EndpointState| endpoint.is_available(demand, now);
            let mut tiers = snapshot.tiers();
            let first = tiers.next();
            let found = first.and_then(|tier| self.pick(snapshot, tier, request, is_free));
            if let Some(picked) = found {
                return Ok(picked);
            }
            if tiers.next().is_none() {
                return Err(Selection::NoneAdmissible);
            }
        }
        self.search(eligibility, exclusions.skip, now, |tier, stage| {
            let is_now = |endpoint: &EndpointState| {
                !exclusions.has(endpoint) && eligibility.is_now(stage, endpoint, now)
            };
            self.pick_by_rank(eligibility, tier, request, is_now)
        })
    }

    /// Selects an endpoint for an early attempt, which may save the wait of a request without an
    /// admissible endpoint.
    fn choose_early(
        &self,
        selection: Selection,
        eligibility: &Eligibility<'_>,
        request: &PickContext<'_>,
        exclusions: Exclusions<'_>,
    ) -> Selection {
        if eligibility.demand.hurries_since.is_none() {
            return selection;
        }
        let (snapshot, now) = (eligibility.snapshot, request.now);
        let (end, stage) = match selection {
            Selection::WorthWaiting(end) => (end, Stage::Better),
            // An endpoint of a lower tier does not replace the one in doubt.
            Selection::Endpoint(at) => {
                let mut tiers = snapshot.tiers();
                let tier = tiers.find(|tier| tier.contains(&at));
                (tier.map_or(at, |tier| tier.end), Stage::Untried)
            }
            _ => (snapshot.active().len(), Stage::Next),
        };
        let is_better =
            |picked: &Picked| !picked.in_doubt || !matches!(selection, Selection::Endpoint(_));
        let mut tiers = snapshot.tiers().filter(|tier| tier.end <= end);
        let early = tiers.find_map(|tier| {
            let is_early = |endpoint: &EndpointState| {
                !exclusions.has(endpoint) && eligibility.is_early(stage, endpoint, now)
            };
            let picked = self.pick_by_rank(eligibility, tier, request, is_early);
            picked.filter(is_better)
        });
        early.map_or(selection, |picked| Selection::Early(picked.at))
    }

    /// Lets the strategy choose as [`pick`](Self::pick) does, without an endpoint while one of a
    /// lower rank can take the request.
    fn pick_by_rank(
        &self,
        eligibility: &Eligibility<'_>,
        tier: Range<usize>,
        request: &PickContext<'_>,
        can_take: impl Fn(&EndpointState) -> bool + Copy,
    ) -> Option<Picked> {
        self.pick(eligibility.snapshot, tier, request, move |endpoint| {
            can_take(endpoint) && eligibility.is_lowest_rank(endpoint, can_take)
        })
    }

    /// Lets the strategy choose among the endpoints of a tier that can take the request. Endpoints
    /// in doubt come last.
    fn pick(
        &self,
        snapshot: &PoolSnapshot,
        tier: Range<usize>,
        request: &PickContext<'_>,
        can_take: impl Fn(&EndpointState) -> bool + Copy,
    ) -> Option<Picked> {
        let left_out = Cell::new(false);
        let left_out = &left_out;
        let found = self.pick_among(snapshot, tier.clone(), request, move |endpoint| {
            if !can_take(endpoint) {
                return false;
            }
            if is_in_doubt(snapshot, endpoint, request) {
                left_out.set(true);
                return false;
            }
            true
        });
        let in_doubt = found.is_none() && left_out.get();
        let found = match in_doubt {
            true => self.pick_among(snapshot, tier, request, can_take),
            false => found,
        };
        found.map(|at| Picked { at, in_doubt })
    }

    /// Lets the strategy choose among the endpoints of a tier for which `can_take` holds.
    fn pick_among(
        &self,
        snapshot: &PoolSnapshot,
        tier: Range<usize>,
        request: &PickContext<'_>,
        can_take: impl Fn(&EndpointState) -> bool + Copy,
    ) -> Option<usize> {
        let (start, entries) = (tier.start, &snapshot.active()[tier]);
        let can_take = move |entry: &ActiveEndpoint| can_take(&entry.state);
        let sample = self.config.strategy.sample();
        if sample == Sample::First && !request.has_weights() {
            return entries.iter().position(can_take).map(|at| start + at);
        }
        let choose = |indices: &[u32]| {
            let candidates = Candidates::new((entries, start), indices, request);
            let chosen = match indices.len() {
                0 | 1 => None,
                _ => self.config.strategy.pick(request, candidates),
            };
            let chosen = chosen.or_else(|| candidates.iter().next())?;
            Some(chosen.index())
        };
        if sample == Sample::Two && entries.len() > FEW {
            if let Some(two) = self.draw_two(entries.len(), |at| can_take(&entries[at])) {
                return choose(&two);
            }
        }
        if entries.len() > INLINE {
            let indices: Vec<u32> = (0..)
                .zip(entries)
                .filter(|(_, entry)| can_take(entry))
                .map(|(at, _)| at)
                .collect();
            return choose(&indices);
        }
        let (mut indices, mut count) = ([0_u32; INLINE], 0);
        for (at, entry) in (0..).zip(entries) {
            if can_take(entry) {
                indices[count] = at;
                count += 1;
            }
        }
        choose(&indices[..count])
    }

    /// Draws two different endpoints that can take the request. Returns `None` after too many
    /// draws.
    fn draw_two(&self, count: usize, can_take: impl Fn(usize) -> bool) -> Option<[u32; 2]> {
        let mut first = None;
        for _ in 0..DRAWS {
            let at = self.draws.dice.below(count);
            if first == Some(at) || !can_take(at) {
                continue;
            }
            if let Some(first) = first.replace(at) {
                return Some([first as u32, at as u32]);
            }
        }
        None
    }
}

/// Returns whether one of the first `end` endpoints can take the request within `prefer_wait`.
fn is_soon(eligibility: &Eligibility<'_>, end: usize, skip: &[u64], now: Instant) -> bool {
    if eligibility.prefer_wait.is_zero() {
        return false;
    }
    let bound = saturating_add(eligibility.since(now), eligibility.prefer_wait);
    eligibility.snapshot.active()[..end].iter().any(|entry| {
        let endpoint = &*entry.state;
        match eligibility.check(Stage::Better, endpoint, now) {
            Availability::Paced(at) | Availability::Limited(at) => at <= bound,
            // The endpoint is claimed by a waiter that has not run yet.
            Availability::Now => !skip.contains(&endpoint.id),
            Availability::Broken { .. } | Availability::Never => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::pool::Pool;
    use crate::pool::tests::{pool, shared};
    use crate::select::request_context::RequestContext;
    use crate::select::strategy::Strategy;
    use crate::state::cooldown::tests::pace;
    use std::time::Duration;
    use tokio::time::advance;

    /// Between the two checks of an endpoint, another thread may take its last slot. If the search
    /// stopped there, the request would be refused although the next tier is idle.
    #[test]
    fn lost_slot_leads_to_next_tier() {
        let pool = pool(&[0, 1, u16::MAX]);
        let snapshot = pool.snapshot();
        let context = RequestContext::default();
        let searches = Cell::new(0);
        let eligibility = context.eligibility(&pool.shared, &snapshot);
        let find = |tier: Range<usize>, _| {
            searches.set(searches.get() + 1);
            (snapshot.active()[tier.start].tier > 0).then_some(tier.start)
        };
        let found = pool.shared.search(&eligibility, &[], Instant::now(), find);
        assert_eq!((found, searches.get()), (Ok(1), 2));
    }

    /// A refusal costs less than an attempt without an answer, which may take minutes.
    #[tokio::test(start_paused = true)]
    async fn early_attempt_precedes_endpoint_in_doubt() {
        for (both, expected) in [
            (false, Selection::Early(1)),
            // The other one costs as much, and a refusal besides.
            (true, Selection::Endpoint(0)),
        ] {
            let pool = pool(&[0, 0]);
            let snapshot = pool.snapshot();
            let [silent, paced] = [0, 1].map(|at| &*snapshot.active()[at].state);
            silent.load.enter(silent.since_start(Instant::now()));
            match both {
                true => paced.load.enter(paced.since_start(Instant::now())),
                false => paced.load.latency.record(Duration::from_millis(10)),
            }
            advance(Duration::from_secs(10)).await;
            let now = Instant::now();
            pace(&paced.limits.wide.cooldown, now);
            paced.limits.refresh();
            let context = RequestContext::default();
            let demand = context.demand.hurry(Some(now - Duration::from_secs(5)));
            let eligibility = Eligibility {
                demand: &demand,
                ..context.eligibility(&pool.shared, &snapshot)
            };
            let exclusions = Exclusions {
                skip: &[],
                claims: &Claims::None,
            };
            let chosen = pool
                .shared
                .choose(&eligibility, &Extensions::new(), exclusions, now);
            assert_eq!(chosen, expected);
        }
    }

    #[test]
    fn large_tier_draws_two_endpoints() {
        let shared = shared(Strategy::LeastLoaded);
        let endpoint = |n: usize| Endpoint::new(&n.to_string(), "http://a.test").unwrap();
        let pool = Pool::new(shared, (0..64).map(endpoint).collect()).unwrap();
        let snapshot = pool.snapshot();
        let context = RequestContext::default();
        let eligibility = context.eligibility(&pool.shared, &snapshot);
        let extensions = Extensions::new();
        let exclusions = Exclusions {
            skip: &[],
            claims: &Claims::None,
        };
        let mut chosen = [0_u32; 64];
        for _ in 0..6_400 {
            let now = Instant::now();
            let found = pool
                .shared
                .choose(&eligibility, &extensions, exclusions, now);
            let Selection::Endpoint(at) = found else {
                panic!("{found:?}");
            };
            chosen[at] += 1;
        }
        // All endpoints are equally loaded, so each expects 100 requests, with a deviation of 10.
        assert!(
            chosen.iter().all(|count| (50..150).contains(count)),
            "{chosen:?}"
        );

        // If only one of many endpoints is admissible, it is still found.
        for entry in &snapshot.active()[1..] {
            entry.state.breaker.isolate();
        }
        let now = Instant::now();
        let found = pool
            .shared
            .choose(&eligibility, &extensions, exclusions, now);
        assert_eq!(found, Selection::Endpoint(0));
    }
}
