//! One breaker for each key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use steadfast_core::{BreakerState, InvalidConfig};

use crate::value::breaker::CircuitBreaker;
use crate::value::builder::CircuitBreakerBuilder;

/// Breakers by key: one for each host, tenant or route.
///
/// It makes a breaker when its key is asked for the first time, and holds no more of them than it
/// was told to: keys often come from callers. For a new one the breaker goes that was asked for
/// longest ago among those that are closed, and if none is, among the open ones; those that were
/// isolated or disabled by hand go last. Whoever has a clone of it
/// goes on with that, and the next who asks gets a new one.
///
/// ```
/// use steadfast_breaker::{BreakerRegistry, CircuitBreaker};
///
/// let builder = CircuitBreaker::builder().consecutive_failures(3);
/// let breakers = BreakerRegistry::new(1000, move |host: &String| {
///     builder.clone().name(host.as_str())
/// })?;
///
/// breakers.get("a.test")?.trip();
/// assert!(breakers.get("a.test")?.try_acquire().is_err());
/// assert!(breakers.get("b.test")?.try_acquire().is_ok());
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
///
/// # Names
///
/// Where events become metrics, each [name](CircuitBreakerBuilder::name) is a series that stays, as
/// does its last state when its breaker goes. So name breakers by their keys only where those are
/// few, and give all of them one name otherwise.
///
/// # Cost
///
/// A key that is known costs a read lock for the time of a lookup, and the clone of a
/// [`CircuitBreaker`]. A new one costs a write lock, and if the registry is full a look at all its
/// breakers, of which an eighth then goes.
#[derive(Clone)]
pub struct BreakerRegistry<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    capacity: usize,
    make: Box<dyn Fn(&K) -> CircuitBreakerBuilder + Send + Sync>,
    breakers: RwLock<HashMap<K, Entry>>,
    /// Counts up with each use.
    clock: AtomicU64,
}

struct Entry {
    breaker: CircuitBreaker,
    used: AtomicU64,
}

impl<K: Eq + Hash + Clone> BreakerRegistry<K> {
    /// Creates a registry of at most `capacity` breakers, each built by what `make` returns for
    /// its key.
    ///
    /// # Errors
    ///
    /// Returns an error if `capacity` is zero.
    pub fn new(
        capacity: usize,
        make: impl Fn(&K) -> CircuitBreakerBuilder + Send + Sync + 'static,
    ) -> Result<Self, InvalidConfig> {
        if capacity == 0 {
            return Err(InvalidConfig::new("capacity", "0", "must be at least 1"));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                capacity,
                make: Box::new(make),
                breakers: RwLock::default(),
                clock: AtomicU64::new(0),
            }),
        })
    }

    /// Returns the breaker of `key`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the builder of a new breaker refuses its configuration.
    pub fn get<Q>(&self, key: &Q) -> Result<CircuitBreaker, InvalidConfig>
    where
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let now = self.shared.clock.fetch_add(1, Ordering::Relaxed);
        let known = self.shared.breakers.read();
        if let Some(entry) = known.unwrap_or_else(PoisonError::into_inner).get(key) {
            entry.used.store(now, Ordering::Relaxed);
            return Ok(entry.breaker.clone());
        }
        // Built outside of the lock, as the closure is the caller's.
        let key = key.to_owned();
        let new = (self.shared.make)(&key).build()?;
        let known = self.shared.breakers.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.shared.capacity && !known.contains_key::<K>(&key) {
            self.shared.evict(&mut known);
        }
        // Another thread may have been faster.
        let entry = known.entry(key).or_insert_with(|| Entry {
            breaker: new,
            used: AtomicU64::new(now),
        });
        Ok(entry.breaker.clone())
    }

    /// Forgets the breaker of `key`.
    pub fn remove<Q>(&self, key: &Q)
    where
        Q: Eq + Hash + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let known = self.shared.breakers.write();
        known.unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Returns all keys with their breakers, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<(K, CircuitBreaker)> {
        let known = self.shared.breakers.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let all = known.iter();
        all.map(|(key, entry)| (key.clone(), entry.breaker.clone()))
            .collect()
    }

    /// Returns how many breakers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let known = self.shared.breakers.read();
        known.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns whether there is no breaker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash + Clone> Shared<K> {
    /// Removes an eighth of all, and at least one, so that not each new key looks at all of them.
    fn evict(&self, known: &mut HashMap<K, Entry>) {
        // What is open protects its service. A caller who invents keys must not drive it out.
        let mut order: Vec<_> = known
            .iter()
            .map(|(key, entry)| {
                let breaker = &entry.breaker;
                let ordered = breaker.is_isolated() || breaker.is_disabled();
                let protects = breaker.state() != BreakerState::Closed;
                let rank = u8::from(protects) + 2 * u8::from(ordered);
                (rank, entry.used.load(Ordering::Relaxed), key.clone())
            })
            .collect();
        order.sort_unstable_by_key(|(rank, used, _)| (*rank, *used));
        let closed = order.iter().filter(|(rank, ..)| *rank == 0).count();
        let count = (self.capacity / 8).min(closed).max(1);
        for (_, _, key) in order.into_iter().take(count) {
            known.remove(&key);
        }
    }
}

impl<K> fmt::Debug for BreakerRegistry<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerRegistry")
            .field("capacity", &self.shared.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(capacity: usize) -> BreakerRegistry<u32> {
        BreakerRegistry::new(capacity, |key: &u32| {
            CircuitBreaker::builder().name(key.to_string())
        })
        .expect("room for some")
    }

    #[test]
    fn a_key_has_one_breaker() {
        let breakers = registry(10);
        breakers.get(&1).unwrap().trip();
        assert_eq!(breakers.get(&1).unwrap().state(), BreakerState::Open);
        assert_eq!(breakers.get(&2).unwrap().state(), BreakerState::Closed);
        assert_eq!(breakers.get(&2).unwrap().name(), &"2");
        assert_eq!(breakers.all().len(), 2);
        breakers.remove(&1);
        assert_eq!(breakers.get(&1).unwrap().state(), BreakerState::Closed);
    }

    #[test]
    fn what_was_not_used_for_long_goes_first_and_what_is_open_last() {
        let breakers = registry(4);
        for key in 0..4 {
            breakers.get(&key).unwrap();
        }
        breakers.get(&0).unwrap().trip();
        breakers.get(&1).unwrap();
        for key in 100..102 {
            breakers.get(&key).unwrap();
        }
        let mut keys: Vec<_> = breakers.all().into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 100, 101], "0 is open, 1 was used");
    }

    #[test]
    fn invented_keys_neither_fill_the_memory_nor_drive_out_what_is_open() {
        let breakers = registry(100);
        for key in 0..10 {
            breakers.get(&key).unwrap().trip();
        }
        for key in 1000..100_000 {
            breakers.get(&key).unwrap();
            assert!(breakers.len() <= 100);
        }
        let open = |key| breakers.get(&key).unwrap().state() == BreakerState::Open;
        assert!((0..10).all(open));
    }

    #[test]
    fn an_open_one_goes_only_if_none_is_closed_and_what_was_ordered_last() {
        let breakers = registry(16);
        breakers.get(&0).unwrap().isolate();
        breakers.get(&1).unwrap().disable();
        for key in 2..15 {
            breakers.get(&key).unwrap().trip();
        }
        breakers.get(&15).unwrap();
        breakers.get(&100).unwrap().trip();
        let keys = || {
            let mut keys: Vec<_> = breakers.all().into_iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(
            keys(),
            (0..15).chain([100]).collect::<Vec<_>>(),
            "15 was closed"
        );
        breakers.get(&101).unwrap();
        let expected = [0, 1].into_iter().chain(3..15).chain([100, 101]);
        assert_eq!(
            keys(),
            expected.collect::<Vec<_>>(),
            "2 was open for longest"
        );
    }

    #[test]
    fn threads_get_the_same_breaker() {
        let breakers = registry(10);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| breakers.get(&1).unwrap().isolate());
            }
        });
        assert_eq!(breakers.len(), 1);
        assert!(breakers.get(&1).unwrap().is_isolated());
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let builder = || CircuitBreaker::builder();
        let error = BreakerRegistry::new(0, move |_: &u32| builder()).unwrap_err();
        assert_eq!(error.field(), "capacity");
        let bad = BreakerRegistry::new(1, |_: &u32| CircuitBreaker::builder().probes(0));
        assert_eq!(bad.unwrap().get(&1).unwrap_err().field(), "probes");
    }
}
