//! The states of the limit keys of an endpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use steadfast_core::LimitKey;
use tokio::time::Instant;

use super::concerned::Concerned;
use super::demand::LimitId;
use super::limit_state::LimitState;

/// The maximum number of states of an endpoint: of keys, and of credentials.
pub(crate) const MAX_KEYS: usize = 64;

/// The state of one limit key at an endpoint, or of one credential of a caller: its *account*.
///
/// Attempts hold it while they run.
#[derive(Debug)]
pub(crate) struct KeyedState {
    /// The hashes of the key and of the caller's credential.
    id: LimitId,
    /// `None` for the limits of a credential that are independent of the key.
    key: Option<LimitKey>,
    pub(crate) limits: LimitState,
    /// The time of the last use.
    used: AtomicU64,
}

/// The states of the keys of an endpoint. Readers take no lock.
#[derive(Debug, Default)]
pub(super) struct KeyedStates {
    /// Sorted by hash. `None` before the first key.
    table: ArcSwapOption<Table>,
    /// Held during a change of the table.
    edit: Mutex<()>,
    /// Whether the states have send rates.
    learns: bool,
}

/// The states with their hashes, sorted by hash.
type Table = Vec<(u64, Arc<KeyedState>)>;

impl KeyedState {
    fn new(
        (id, key): (LimitId, Option<&LimitKey>),
        learns: bool,
        (start, time): (Instant, u64),
    ) -> Self {
        let limits = LimitState::new(learns, start);
        Self {
            id,
            key: key.copied(),
            limits: match id.credential {
                Some(_) => limits.of_one_caller(),
                None => limits,
            },
            used: AtomicU64::new(time),
        }
    }

    /// Returns the key, or `None` for the limits of a credential.
    pub(crate) fn key(&self) -> Option<&LimitKey> {
        self.key.as_ref()
    }

    /// Returns whether the state belongs to one credential of a caller.
    pub(crate) fn is_per_credential(&self) -> bool {
        self.id.credential.is_some()
    }

    /// Returns the requests that its limits concern.
    pub(crate) fn concerned(&self) -> Concerned {
        Concerned {
            key: self.key,
            per_credential: self.is_per_credential(),
        }
    }

    /// Returns the hash of its identity.
    pub(super) fn hash(&self) -> u64 {
        self.id.hash()
    }

    /// Records a use. Most uses find the same time and write nothing.
    #[inline]
    fn touch(&self, time: u64) {
        if self.used.load(Ordering::Relaxed) != time {
            self.used.store(time, Ordering::Relaxed);
        }
    }

    /// Returns the order of eviction: a state with a cooldown after all others, then by the last
    /// use. Keys precede accounts, which concern more requests.
    fn value(&self, now: Instant) -> (bool, u64, bool) {
        let cools = self.limits.cooldown.until(now).is_some();
        let used = self.used.load(Ordering::Relaxed);
        (cools, used, self.key.is_none())
    }

    /// Returns whether an attempt may use both states.
    fn is_used_with(&self, other: &Self) -> bool {
        self.id.account() == Some(other.id) || other.id.account() == Some(self.id)
    }
}

impl KeyedStates {
    /// Creates an empty table. `learns` enables the send rates of its states.
    pub(super) fn new(learns: bool) -> Self {
        Self {
            learns,
            ..Self::default()
        }
    }

    /// Returns the state with this identity.
    #[inline]
    pub(super) fn find(&self, id: LimitId) -> Option<Arc<KeyedState>> {
        find(self.table.load().as_deref()?, id).cloned()
    }

    /// Returns the state with this identity for an attempt, and the one of its account. `age` is
    /// the age of the pool.
    #[inline]
    pub(super) fn enter<'k>(
        &self,
        id: LimitId,
        key: impl FnOnce() -> Option<&'k LimitKey>,
        age: Duration,
        now: Instant,
    ) -> (Arc<KeyedState>, Option<Arc<KeyedState>>) {
        // Units of about a millisecond, without a division.
        let time = age.as_secs() << 10 | u64::from(age.subsec_nanos() >> 20);
        let account = id.account().map(|account| {
            let state = self
                .find(account)
                .unwrap_or_else(|| self.create((account, None), (age, time), now));
            state.touch(time);
            state
        });
        let state = self
            .find(id)
            .unwrap_or_else(|| self.create((id, key()), (age, time), now));
        state.touch(time);
        (state, account)
    }

    /// Returns all states.
    pub(super) fn all(&self) -> Vec<Arc<KeyedState>> {
        let table = self.table.load();
        let all = table.iter().flat_map(|table| table.iter());
        all.map(|(_, state)| state.clone()).collect()
    }

    /// Prevents changes of the table.
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        // The table is replaced whole, so a panic cannot leave it inconsistent.
        self.edit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a state, unless another attempt has created it meanwhile.
    #[cold]
    fn create(
        &self,
        (id, key): (LimitId, Option<&LimitKey>),
        (age, time): (Duration, u64),
        now: Instant,
    ) -> Arc<KeyedState> {
        let (_edit, learns) = (self.lock(), self.learns);
        let born = (now.checked_sub(age).unwrap_or(now), time);
        let table = self.table.load();
        let mut table = table.as_deref().cloned().unwrap_or_default();
        if let Some(state) = find(&table, id) {
            return state.clone();
        }
        let state = Arc::new(KeyedState::new((id, key), learns, born));
        insert(&mut table, state.clone(), now);
        self.table.store(Some(Arc::new(table)));
        state
    }
}

/// Returns the state with this identity.
#[inline]
fn find(table: &Table, id: LimitId) -> Option<&Arc<KeyedState>> {
    let hash = id.hash();
    let first = table.partition_point(|(known, _)| *known < hash);
    let same = table[first..]
        .iter()
        .take_while(|(known, _)| *known == hash);
    let mut states = same.map(|(_, state)| state);
    states.find(|state| state.id == id)
}

/// Inserts a state. If the table is full, it evicts the least valuable one. An account and its key
/// do not evict each other, so that both remain if all other states cool.
fn insert(table: &mut Table, state: Arc<KeyedState>, now: Instant) {
    let others = |(_, (_, other)): &(_, &(_, Arc<KeyedState>))| !other.is_used_with(&state);
    let states = (0..).zip(table.iter()).filter(others);
    let least = states.min_by_key(|(_, (_, state))| state.value(now));
    if let Some((at, _)) = least.filter(|_| table.len() >= MAX_KEYS) {
        table.remove(at);
    }
    let hash = state.hash();
    let at = table.partition_point(|(known, _)| *known < hash);
    table.insert(at, (hash, state));
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn id(key: &LimitKey) -> (LimitId, Option<&LimitKey>) {
        let hash = NonZeroU64::new(key.hash_value());
        let id = LimitId {
            key: hash,
            credential: None,
        };
        (id, Some(key))
    }

    /// A burst of requests has one time. An account concerns more requests than a key.
    #[test]
    fn account_outlives_keys_of_the_same_time() {
        let (states, now) = (KeyedStates::default(), Instant::now());
        let enter = |name: &str, credential| {
            let key = LimitKey::new(name);
            let (id, _) = id(&key);
            let id = LimitId { credential, ..id };
            states.enter(id, || Some(&key), Duration::ZERO, now).1
        };
        for n in 1..30 {
            let account = enter("a", NonZeroU64::new(n << 58)).expect("an account");
            for other in 0..70 {
                enter(&other.to_string(), None);
            }
            let known = states.find(account.id).expect("it is kept");
            assert!(Arc::ptr_eq(&account, &known), "{n}");
        }
    }

    /// The docs state the memory of an endpoint with 64 keys.
    #[test]
    fn full_table_needs_less_than_72_kb() {
        let entry = size_of::<(u64, Arc<KeyedState>)>() + size_of::<KeyedState>() + 128;
        assert!(MAX_KEYS * entry <= 72_000, "{entry}");
    }

    /// Two attempts with a new key at the same time must share one state.
    #[test]
    fn concurrent_attempts_with_new_keys_share_one_state() {
        let (states, now) = (KeyedStates::default(), Instant::now());
        let keys: Vec<_> = (0..200).map(|n| LimitKey::new(&n.to_string())).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in &keys {
                        let (id, key) = id(key);
                        states.enter(id, || key, Duration::ZERO, now);
                    }
                });
            }
        });
        let all = states.all();
        assert_eq!(all.len(), MAX_KEYS);
        let mut hashes: Vec<_> = all.iter().map(|state| state.hash()).collect();
        hashes.dedup();
        assert_eq!(hashes.len(), MAX_KEYS, "each key has one state");
        let again = keys[0];
        let enter = |key| states.enter(id(key).0, || Some(key), Duration::ZERO, now);
        let (first, _) = enter(&again);
        assert!(Arc::ptr_eq(
            &first,
            &states.find(id(&again).0).expect("it exists")
        ));
    }
}
