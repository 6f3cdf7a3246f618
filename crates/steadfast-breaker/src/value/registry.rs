//! One breaker per key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use steadfast_core::{BreakerState, InvalidConfig};

use super::breaker::CircuitBreaker;
use super::builder::CircuitBreakerBuilder;

/// Breakers by key: one for each host, tenant or route.
///
/// The first request for a key creates its breaker. The number of breakers is limited, because keys
/// often come from callers. For a new breaker, the least recently used closed one is removed. If
/// none is closed, an open one is removed, and manually isolated or disabled ones last. Clones of a
/// removed breaker continue to work; the next request for its key creates a new one.
///
/// ```
/// use std::num::NonZeroUsize;
/// use steadfast_breaker::{BreakerRegistry, CircuitBreaker};
///
/// const MOST: NonZeroUsize = NonZeroUsize::new(1000).unwrap();
///
/// let builder = CircuitBreaker::builder().consecutive_failures(3);
/// let breakers = BreakerRegistry::new(MOST, move |host: &String| {
///     builder.clone().name(host.as_str())
/// });
///
/// breakers.get("a.test")?.trip();
/// assert!(breakers.get("a.test")?.try_acquire().is_err());
/// assert!(breakers.get("b.test")?.try_acquire().is_ok());
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
///
/// # Names
///
/// If events become metrics, each [name](CircuitBreakerBuilder::name) is a series, which remains
/// with its last state when its breaker is removed. Name breakers by their keys only if there are
/// few keys. Otherwise use one name for all.
///
/// # Cost
///
/// A known key costs a read lock for the time of a lookup, and the clone of a [`CircuitBreaker`]. A
/// new key costs a write lock. If the registry is full, it also costs a scan of all breakers, of
/// which an eighth is removed.
#[derive(Clone)]
pub struct BreakerRegistry<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    capacity: usize,
    make: Box<dyn Fn(&K) -> CircuitBreakerBuilder + Send + Sync>,
    breakers: RwLock<HashMap<K, Entry>>,
    /// Incremented by each use.
    clock: AtomicU64,
}

struct Entry {
    breaker: CircuitBreaker,
    used: AtomicU64,
}

impl<K: Eq + Hash + Clone> BreakerRegistry<K> {
    /// Creates a registry of at most `capacity` breakers. `make` returns the builder for a key.
    pub fn new(
        capacity: NonZeroUsize,
        make: impl Fn(&K) -> CircuitBreakerBuilder + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                capacity: capacity.get(),
                make: Box::new(make),
                breakers: RwLock::default(),
                clock: AtomicU64::new(0),
            }),
        }
    }

    /// Returns the breaker of `key`, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the builder of a new breaker rejects a value.
    pub fn get<Q>(&self, key: &Q) -> Result<CircuitBreaker, InvalidConfig>
    where
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let now = self.inner.clock.fetch_add(1, Ordering::Relaxed);
        let known = self.inner.breakers.read();
        if let Some(entry) = known.unwrap_or_else(PoisonError::into_inner).get(key) {
            entry.used.store(now, Ordering::Relaxed);
            return Ok(entry.breaker.clone());
        }
        // Built outside of the lock, because the closure is user code.
        let key = key.to_owned();
        let new = (self.inner.make)(&key).build()?;
        let known = self.inner.breakers.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.inner.capacity && !known.contains_key::<K>(&key) {
            self.inner.evict(&mut known);
        }
        // Another thread may have been faster.
        let entry = known.entry(key).or_insert_with(|| Entry {
            breaker: new,
            used: AtomicU64::new(now),
        });
        Ok(entry.breaker.clone())
    }

    /// Removes the breaker of `key`.
    pub fn remove<Q>(&self, key: &Q)
    where
        Q: Eq + Hash + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let known = self.inner.breakers.write();
        known.unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Returns all keys with their breakers, in arbitrary order.
    #[must_use]
    pub fn all(&self) -> Vec<(K, CircuitBreaker)> {
        let known = self.inner.breakers.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let all = known.iter();
        all.map(|(key, entry)| (key.clone(), entry.breaker.clone()))
            .collect()
    }

    /// Returns the number of breakers.
    #[must_use]
    pub fn len(&self) -> usize {
        let known = self.inner.breakers.read();
        known.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns whether there is no breaker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash + Clone> Inner<K> {
    /// Removes an eighth of all breakers, and at least one, so that few new keys cost a scan.
    fn evict(&self, known: &mut HashMap<K, Entry>) {
        // An open breaker protects its service. Invented keys must not remove it.
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
            .field("capacity", &self.inner.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(capacity: usize) -> BreakerRegistry<u32> {
        let capacity = NonZeroUsize::new(capacity).expect("room for some");
        BreakerRegistry::new(capacity, |key: &u32| {
            CircuitBreaker::builder().name(key.to_string())
        })
    }

    #[test]
    fn key_has_one_breaker() {
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
    fn full_registry_removes_least_recently_used_closed_breaker() {
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
    fn many_new_keys_stay_within_capacity_and_keep_open_breakers() {
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
    fn open_breaker_is_removed_only_if_none_is_closed() {
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
    fn concurrent_requests_get_same_breaker() {
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
    fn invalid_builder_is_rejected() {
        let make = |_: &u32| CircuitBreaker::builder().probes(0);
        let bad = BreakerRegistry::new(NonZeroUsize::MIN, make);
        assert_eq!(bad.get(&1).unwrap_err().field(), "probes");
    }
}
