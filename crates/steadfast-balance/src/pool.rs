//! The endpoints of a balancer, and which of them a request may go to.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use http::Extensions;
use steadfast_core::{
    Class, Classify, Event, Exhausted, InvalidConfig, Next, Observers, Verdict, saturating_add,
};
use tokio::time::Instant;

use crate::asked::{Allowed, Asked};
use crate::candidate::{Asking, Candidates, Set};
use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::exhausted::WhenExhausted;
use crate::member::{Member, Turn};
use crate::members::{Entry, Members};
use crate::queue::{Claims, Key, Queue};
use crate::strategy::{Pick, Sample};

/// How many candidates are looked at one by one. Of more, some strategies want only two.
const FEW: usize = 16;
/// How many draws it takes at most to find two candidates at random. If most endpoints cannot take
/// the request, all are looked at.
const DRAWS: usize = 8;
/// How often a pool whose endpoints are all broken lets an attempt through all the same.
const LAST_RESORT: Duration = Duration::from_secs(1);
/// What an endpoint is taken for whose rate is not sure: nobody is refused for a guess.
const UNKNOWN_RATE: f64 = 1_000.0;

/// What all services of a layer share.
pub(crate) struct Pool {
    pub(crate) shared: Arc<Shared>,
    members: ArcSwap<Members>,
    version: AtomicU64,
    edit: Mutex<()>,
}

/// What the endpoints of a pool share, too.
pub(crate) struct Shared {
    pub(crate) strategy: Arc<dyn Pick>,
    pub(crate) classifier: Arc<dyn Classify + Send + Sync>,
    pub(crate) observers: Observers,
    pub(crate) request_root: String,
    pub(crate) abandoned_after: Option<Duration>,
    pub(crate) when_exhausted: WhenExhausted,
    pub(crate) max_wait: Duration,
    pub(crate) prefer_wait_below: Duration,
    pub(crate) quick_retry: bool,
    pub(crate) start: Instant,
    pub(crate) queue: Queue,
    pub(crate) dice: Dice,
    pub(crate) round: AtomicU64,
    /// When the last attempt of a broken pool was let through, in nanoseconds since the start,
    /// and 0 if there was none.
    pub(crate) last_resort: AtomicU64,
    pub(crate) ids: AtomicU64,
}

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

// ===== impl Shared =====

impl Shared {
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub(crate) fn prefers_to_wait(&self) -> bool {
        !self.prefer_wait_below.is_zero()
    }

    /// Tells those who wait that something has changed at an endpoint.
    pub(crate) fn turned(&self, now: Instant) {
        self.queue.pass_on(now);
    }

    /// Looks for an endpoint: an untried one of the lowest tier that has any, or else a tried one
    /// whose answers allow it. `find` looks through a tier for what the closure allows.
    fn look<T>(
        &self,
        members: &Members,
        allowed: &Allowed<'_>,
        now: Instant,
        mut find: impl FnMut(Range<usize>, &dyn Fn(&Member) -> bool) -> Option<T>,
    ) -> Result<T, Found> {
        let stays = self.prefers_to_wait() || self.quick_retry;
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
                && self.is_soon(members, tier.clone(), allowed, now)
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
        allowed: &Allowed<'_>,
        now: Instant,
    ) -> bool {
        let bound = saturating_add(allowed.since(now), self.prefer_wait_below);
        members.active()[tier].iter().any(|entry| {
            let member = &*entry.member;
            let may = allowed.allows_new(members, member)
                || allowed.allows_before_next_tier(self, members, member);
            match member.turn(allowed.tokens(), now) {
                Turn::Paced(at) | Turn::Limited(at) => may && at <= bound,
                _ => false,
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
        let asking = Asking {
            extensions,
            wishes: asked.wishes.as_ref(),
            now,
            since_start: self.since_start(now),
            round: &self.round,
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
        if allowed.is_anybody() && !self.prefers_to_wait() {
            let found = members
                .tiers()
                .find_map(|tier| self.pick(members, tier, &asking, is_free));
            return found.map_or(Found::Nobody, Found::Endpoint);
        }
        self.look(members, allowed, now, |tier, allows| {
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
        asking: &Asking<'_>,
        can_take: impl Fn(&Member) -> bool,
    ) -> Option<usize> {
        let (start, entries) = (tier.start, &members.active()[tier]);
        let can_take = |at: usize| can_take(&entries[at].member);
        let sample = self.strategy.sample();
        if sample == Sample::First {
            return (0..entries.len())
                .find(|at| can_take(*at))
                .map(|at| start + at);
        }
        let choose = |set: Set<'_>| {
            let candidates = Candidates::new((entries, start), set, asking);
            let mut all = candidates.iter();
            let first = all.next()?;
            let chosen = match all.next() {
                Some(_) => self.strategy.pick(asking, candidates),
                None => None,
            };
            Some(chosen.unwrap_or(first).index())
        };
        if sample == Sample::Two && entries.len() > FEW {
            if let Some(two) = self.draw_two(entries.len(), can_take) {
                return choose(Set::Two(two));
            }
        }
        let bits = |from: usize| {
            let word = from..entries.len().min(from + 64);
            word.fold(0, |bits, at| bits | u64::from(can_take(at)) << (at - from))
        };
        if entries.len() <= 64 {
            return choose(Set::Bits(&[bits(0)]));
        }
        let words: Vec<u64> = (0..entries.len()).step_by(64).map(bits).collect();
        choose(Set::Bits(&words))
    }

    /// Draws two different ones that can take the request.
    fn draw_two(&self, count: usize, can_take: impl Fn(usize) -> bool) -> Option<[usize; 2]> {
        let mut first = None;
        for _ in 0..DRAWS {
            let at = self.dice.below(count);
            if first == Some(at) || !can_take(at) {
                continue;
            }
            if let Some(first) = first.replace(at) {
                return Some([first, at]);
            }
        }
        None
    }

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
        let allowed = asked.allowed().after_all();
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
        match self.look(members, &allowed, now, find) {
            Ok(true) => return Next::Now,
            Ok(false) if self.quick_retry && self.is_quick(members, &allowed, now) => {
                return Next::Now;
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
        self.observers.emit(&Event::Exhausted { retry_in });
        Exhausted::new(trail, verdict.with_hint(retry_in), None)
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
            if !allowed.allows_new(members, member) || skip.contains(&member.id) {
                continue;
            }
            // One that is isolated by hand is not to be asked.
            if member.cooldown.until(now).is_some() || member.breaker.is_isolated() {
                return None;
            }
            match member.turn(None, now) {
                Turn::Broken(ready) => {
                    best = best
                        .filter(|(best, _)| *best <= ready)
                        .or(Some((ready, at)));
                }
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
        self.last_resort.fetch_update(order, order, due).ok()?;
        Some(at)
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

// ===== impl Pool =====

impl Pool {
    /// Makes a pool of these endpoints.
    ///
    /// # Errors
    ///
    /// Returns an error if two have the same name, or if one is misconfigured.
    pub(crate) fn new(shared: Shared, endpoints: Vec<Endpoint>) -> Result<Self, InvalidConfig> {
        let pool = Self {
            shared: Arc::new(shared),
            members: ArcSwap::from_pointee(Members::default()),
            version: AtomicU64::new(0),
            edit: Mutex::new(()),
        };
        pool.edit(|entries, new| {
            for (n, endpoint) in endpoints.into_iter().enumerate() {
                let within = |error: InvalidConfig| error.within(&format!("endpoint[{n}]"));
                new(entries, endpoint).map_err(within)?;
            }
            Ok(())
        })?;
        Ok(pool)
    }

    pub(crate) fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Changes with each change of the endpoints.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Changes the endpoints. `change` is given a function that adds one. After an error nothing
    /// is changed.
    pub(crate) fn edit<T>(
        &self,
        change: impl FnOnce(
            &mut Vec<Entry>,
            &dyn Fn(&mut Vec<Entry>, Endpoint) -> Result<(), InvalidConfig>,
        ) -> Result<T, InvalidConfig>,
    ) -> Result<T, InvalidConfig> {
        // Nothing is written until all is done, so a panic cannot have broken anything.
        let _only = self.edit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.members.load().all.clone();
        let new = |entries: &mut Vec<Entry>, endpoint: Endpoint| {
            let known = |entry: &Entry| entry.member.endpoint.name == endpoint.name;
            if entries.iter().any(known) {
                let reason = "must be different for each endpoint";
                return Err(InvalidConfig::new("name", &endpoint.name, reason));
            }
            let id = self.shared.ids.fetch_add(1, Ordering::Relaxed);
            entries.push(Entry::new(Member::new(endpoint, id, &self.shared)?));
            Ok(())
        };
        let done = change(&mut all, &new)?;
        let version = self.version.load(Ordering::Relaxed) + 1;
        let members = Members::new(version, all);
        self.members.store(Arc::new(members));
        self.version.store(version, Ordering::SeqCst);
        self.shared.queue.wake_all(Instant::now());
        Ok(done)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("members", &self.members.load().all)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::service::EndpointBalance;
    use crate::services::Services;
    use crate::strategy::Strategy;
    use http::{Request, Response};
    use std::cell::Cell;
    use std::convert::Infallible;
    use steadfast_core::DefaultClassifier;
    use tower::ServiceExt;

    pub(crate) fn shared() -> Shared {
        Shared {
            strategy: Arc::new(Strategy::Failover),
            classifier: Arc::new(DefaultClassifier),
            observers: Observers::new(),
            request_root: String::new(),
            abandoned_after: None,
            when_exhausted: WhenExhausted::Fail,
            max_wait: Duration::from_secs(30),
            prefer_wait_below: Duration::ZERO,
            quick_retry: false,
            start: Instant::now(),
            queue: Queue::default(),
            dice: Dice::new(1),
            round: AtomicU64::new(0),
            last_resort: AtomicU64::new(0),
            ids: AtomicU64::new(0),
        }
    }

    pub(crate) fn pool(tiers: &[u16]) -> Pool {
        let endpoint = |(n, tier): (usize, &u16)| {
            let endpoint = Endpoint::new(&n.to_string(), "http://a.test").unwrap();
            endpoint.tier(*tier)
        };
        Pool::new(shared(), tiers.iter().enumerate().map(endpoint).collect()).unwrap()
    }

    /// Between the two looks at an endpoint another thread may take its last place. The request
    /// was then refused, although the next tier stood idle.
    #[test]
    fn a_place_that_is_lost_meanwhile_leads_to_the_next_tier() {
        let pool = pool(&[0, 1, u16::MAX]);
        let members = pool.members();
        let asked = Asked::default();
        let looks = Cell::new(0);
        let found = pool
            .shared
            .look(&members, &asked.allowed(), Instant::now(), |tier, _| {
                looks.set(looks.get() + 1);
                (members.active()[tier.start].tier > 0).then_some(tier.start)
            });
        assert_eq!((found, looks.get()), (Ok(1), 2));
    }

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

    #[test]
    fn of_many_two_are_drawn() {
        let shared = Shared {
            strategy: Arc::new(Strategy::LeastLoaded),
            ..shared()
        };
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

    /// A thread that changes the endpoints may have to pause between the list and its version.
    /// Requests looked again and again meanwhile, until their stack was full.
    #[tokio::test]
    async fn a_change_that_is_half_done_does_not_hold_a_request_up() {
        let pool = Arc::new(pool(&[0]));
        let answer = async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new()));
        let all = pool.members().all.clone();
        let version = pool.version() + 1;
        pool.members.store(Arc::new(Members::new(version, all)));
        let services = Services::new(pool, move |_| tower::service_fn(answer));
        let service = EndpointBalance::new(services);
        assert!(service.oneshot(Request::new(())).await.is_ok());
    }
}
