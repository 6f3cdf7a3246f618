//! The limits of an endpoint: the ones that all requests share, and the ones of each limit key.

pub(crate) mod alias;
pub(crate) mod attempt;
pub(crate) mod concerned;
pub(crate) mod demand;
pub(crate) mod keyed;
pub(crate) mod limit_state;
pub(crate) mod tickets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_core::LimitKey;
use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use self::alias::KeyAliases;
use self::concerned::Concerned;
use self::demand::{Demand, LimitId, WIDE, bit};
use self::keyed::{KeyedState, KeyedStates};
use self::limit_state::LimitState;
use crate::endpoint::Endpoint;
use crate::endpoint::limits::Limits;
use crate::state::bench::RequestId;
use crate::state::cooldown::Cooldown;
#[cfg(feature = "health")]
use crate::state::cooldown::bench::Cooling;
use crate::state::cooldown::recovery::{Occasion, Recovery};

/// The state of a key, or `None` for the state that all requests share.
#[cfg(feature = "health")]
pub(crate) type BenchedState = Option<Arc<KeyedState>>;

/// The limits of an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointLimits {
    /// The states with a known limit, one bit per hash. An attempt without such a bit is admissible.
    word: AtomicU64,
    /// The limits that all requests share.
    pub(crate) wide: LimitState,
    /// The limits of the keys.
    keyed: KeyedStates,
    /// Whether keys have limits of their own.
    per_key: bool,
    /// The keys with another name at this endpoint.
    aliases: KeyAliases,
    /// Whether credentials of callers have limits of their own.
    per_credential: bool,
    /// The start of the pool.
    start: Instant,
}

impl EndpointLimits {
    /// Creates the limits of an endpoint. `learns` enables the send rates.
    pub(crate) fn new(endpoint: &Endpoint, learns: bool, start: Instant) -> Self {
        Self {
            word: AtomicU64::new(0),
            wide: LimitState::new(learns, start),
            keyed: KeyedStates::new(learns),
            per_key: endpoint.limits == Limits::PerKey,
            aliases: KeyAliases::new(&endpoint.key_aliases),
            per_credential: endpoint.passes_credentials(),
            start,
        }
    }

    /// Returns whether no limit is known, of any request. A healthy endpoint costs one load.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.word.load(Ordering::Acquire) == 0
    }

    /// Returns whether an attempt would be admitted.
    pub(crate) fn would_admit(&self, demand: &Demand, now: Instant) -> bool {
        let admits = |limits: &LimitState| limits.cooldown.would_admit(now);
        !self.may_limit(demand) || self.fold(demand, admits, |a, b| a && b)
    }

    /// Returns whether a known limit may apply.
    #[inline]
    pub(crate) fn may_limit(&self, demand: &Demand) -> bool {
        self.aliases
            .may_concern(self.word.load(Ordering::Acquire), demand.mask())
    }

    /// Returns whether a cooldown applies. Takes no lock.
    pub(crate) fn cools(&self, demand: &Demand, now: Instant) -> bool {
        let cools = |limits: &LimitState| limits.cooldown.cools_until(now).is_some();
        self.may_limit(demand) && self.fold(demand, cools, |a, b| a || b)
    }

    /// Returns the earliest instant of the next admission, which may be `now`.
    pub(crate) fn ready_at(&self, demand: &Demand, now: Instant) -> Instant {
        let ready = |limits: &LimitState| limits.cooldown.ready_at(now);
        self.fold(demand, ready, Instant::max)
    }

    /// Returns the earliest instant of the next attempt, which is early if the request may hurry,
    /// and whether a cooldown applies.
    pub(crate) fn readiness(&self, demand: &Demand, now: Instant) -> (Instant, bool) {
        let readiness = |limits: &LimitState| limits.cooldown.readiness(demand.hurries_since, now);
        self.fold(demand, readiness, |a, b| (a.0.max(b.0), a.1 || b.1))
    }

    /// Returns whether a recovery probe is admitted.
    pub(crate) fn recovery(&self, demand: &Demand, occasion: Occasion, now: Instant) -> Recovery {
        let recovery = |limits: &LimitState| limits.cooldown.recovery(occasion, now);
        self.fold(demand, recovery, Recovery::and)
    }

    /// Returns when the next recovery probe of any key is due.
    pub(crate) fn next_recovery(&self, now: Instant) -> Option<Instant> {
        let due = |limits: &LimitState| match limits.cooldown.recovery(Occasion::Probe, now) {
            Recovery::At(due) => Some(due),
            _ => None,
        };
        let keys = self.keyed.all();
        let keyed = keys.iter().filter_map(|state| due(&state.limits));
        due(&self.wide).into_iter().chain(keyed).min()
    }

    /// Returns whether one of the limits refused its last probe.
    pub(crate) fn is_refused(&self, demand: &Demand) -> bool {
        let is_refused = |limits: &LimitState| limits.cooldown.is_refused();
        self.may_limit(demand) && self.fold(demand, is_refused, |a, b| a || b)
    }

    /// Returns when the request has its tokens, or `None` if it does not lack any.
    pub(crate) fn has_tokens_at(&self, demand: &Demand, now: Instant) -> Option<Instant> {
        let tokens = demand.tokens?;
        let age = self.age(now);
        let ready = self.with_own(demand, |own| own.quota.ready_at(tokens, age))??;
        Some(saturating_add(self.start, ready))
    }

    /// Returns a value of the limits of the request's key, without the shared ones.
    ///
    /// Returns `None` if the key has no state yet.
    pub(crate) fn with_own<T>(
        &self,
        demand: &Demand,
        value: impl FnOnce(&LimitState) -> T,
    ) -> Option<T> {
        match self.id(demand) {
            None => Some(value(&self.wide)),
            Some(id) => self.keyed.find(id).map(|state| value(&state.limits)),
        }
    }

    /// Combines a value of all limits that apply.
    pub(crate) fn fold<T>(
        &self,
        demand: &Demand,
        value: impl Fn(&LimitState) -> T,
        combine: impl Fn(T, T) -> T,
    ) -> T {
        let wide = value(&self.wide);
        // Without a key, a chain of nothing would cost 40 instructions.
        let Some(id) = self.id(demand) else {
            return wide;
        };
        let ids = [Some(id), id.account()].into_iter().flatten();
        let states = ids.filter_map(|id| self.keyed.find(id));
        states.fold(wide, |all, state| combine(all, value(&state.limits)))
    }

    /// Returns whether the limits that are independent of the key would admit an attempt.
    pub(crate) fn account_would_admit(&self, demand: &Demand, now: Instant) -> bool {
        self.would_admit(&demand.account(), now)
    }

    /// Records that a request was refused by these limits, or rejected for them.
    pub(crate) fn turn_away(&self, demand: &Demand, request: usize) {
        if self.may_limit(demand) {
            let turn_away = |limits: &LimitState| limits.cooldown.turn_away(request);
            self.fold(demand, turn_away, |(), ()| ());
        }
    }

    /// Returns a number that requests with the same limits at this endpoint share.
    pub(crate) fn group(&self, demand: &Demand) -> u64 {
        self.id(demand).map_or(0, LimitId::hash)
    }

    /// Returns whether requests with different keys may compete for a slot.
    pub(crate) fn has_shared_slots(&self) -> bool {
        !self.per_key || self.wide.cooldown.is_busy()
    }

    /// Returns whether the limits that all keys share decide about the next slot of the request.
    pub(crate) fn is_shared_slot(&self, demand: &Demand, now: Instant) -> bool {
        self.wide.cooldown.is_busy()
            && self.ready_at(demand, now) <= self.wide.cooldown.ready_at(now)
    }

    /// Returns the states of all keys and accounts.
    pub(crate) fn keys(&self) -> Vec<Arc<KeyedState>> {
        self.keyed.all()
    }

    /// Begins or replaces a cooldown by order, and zero ends it. Returns its key and its length.
    ///
    /// A key that shares the limits of all requests stands for all requests.
    pub(crate) fn order(
        &self,
        key: Option<&LimitKey>,
        wait: Duration,
        now: Instant,
    ) -> (Option<LimitKey>, Duration) {
        let demand = Demand::new(key, None);
        let key = self.aliases.key(key);
        let Some(id) = self.id(&demand) else {
            let wait = self.wide.order(wait, now);
            self.refresh();
            return (None, wait);
        };
        let mut cooled = Duration::ZERO;
        self.keyed.enter(id, || key, self.age(now), now);
        for state in self.keyed.all() {
            // The key of every credential.
            if state.key() == key {
                cooled = state.limits.order(wait, now);
            }
        }
        self.refresh();
        (key.copied(), cooled)
    }

    /// Ends the benches that this request alone has begun. Returns the requests that each of them
    /// concerned.
    pub(crate) fn take_back_benches(&self, request: RequestId, now: Instant) -> Vec<Concerned> {
        let ends = |limits: &LimitState| limits.cooldown.take_back_bench(request, now);
        let wide = ends(&self.wide).then(Concerned::default);
        let keys = self.keyed.all().into_iter();
        let keyed = keys.filter(|state| ends(&state.limits));
        let ended = wide.into_iter().chain(keyed.map(|state| state.concerned()));
        let ended = ended.collect();
        self.refresh();
        ended
    }

    /// Changes the cooldowns of the endpoint and of all keys by order.
    pub(crate) fn for_all(&self, change: impl Fn(&Cooldown)) {
        change(&self.wide.cooldown);
        for state in self.keyed.all() {
            change(&state.limits.cooldown);
        }
        self.refresh();
    }

    /// Returns the states with a bench that a health check may end, with the generation of each bench.
    #[cfg(feature = "health")]
    pub(crate) fn benches(&self, now: Instant) -> Vec<(BenchedState, u64)> {
        let benched = |cooldown: &Cooldown| match cooldown.cooling(now) {
            Some(Cooling::Benched(generation)) => Some(generation),
            _ => None,
        };
        let wide = benched(&self.wide.cooldown).map(|generation| (None, generation));
        let keys = self.keyed.all().into_iter();
        let keyed = keys.filter_map(|state| {
            let generation = benched(&state.limits.cooldown)?;
            Some((Some(state), generation))
        });
        wide.into_iter().chain(keyed).collect()
    }

    /// Writes the bits of all states with a known limit.
    ///
    /// Each cooldown that begins writes them afterwards. The lock orders the writers, so the last
    /// one has seen all of them.
    pub(crate) fn refresh(&self) {
        let _edit = self.keyed.lock();
        let mut word = WIDE * u64::from(self.wide.cooldown.is_busy());
        for state in self.keyed.all() {
            if state.limits.cooldown.is_busy() {
                word |= bit(state.hash());
            }
        }
        // A request does not know which credentials an endpoint distinguishes.
        if self.per_credential && word != 0 {
            word = u64::MAX;
        }
        self.word.store(word, Ordering::Release);
    }

    /// Returns the identity of a request at this endpoint, if it has limits of its own.
    #[inline]
    fn id(&self, demand: &Demand) -> Option<LimitId> {
        let id = self.per_key.then(|| demand.id(self.per_credential));
        self.aliases.id(id.flatten())
    }

    /// Returns the age of the pool.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}
