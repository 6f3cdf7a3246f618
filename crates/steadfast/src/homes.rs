//! The endpoints of stored objects, by their ids.
//!
//! An id is a text of a caller or of a server, so only its hash is kept. An endpoint is remembered
//! for the credential that created the object: no caller can learn or change the endpoint of
//! another one.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};

use steadfast_core::EndpointName;

/// The ids of a generation. Two generations are kept, so at least this many of the latest ids are
/// known.
const GENERATION: usize = 8_192;

/// The endpoint of each stored object: the latest ids, at most 16,384.
#[derive(Default)]
pub(crate) struct Homes {
    /// With secrets of this stack, so that a caller cannot construct a collision.
    hashes: [RandomState; 2],
    /// The keys and their endpoints. Only requests with stored state lock it.
    known: Mutex<Generations>,
}

/// Two maps in the place of a list in the order of use: each change takes constant time.
#[derive(Default)]
struct Generations {
    /// The keys that were used since the last change of generations.
    new: HashMap<u128, EndpointName>,
    /// The keys that were used before. The next change of generations drops them.
    old: HashMap<u128, EndpointName>,
}

impl Homes {
    /// Remembers the endpoint that has created an object, unless the id is known.
    pub(crate) fn remember(&self, caller: Option<NonZeroU64>, id: &str, endpoint: &EndpointName) {
        let key = self.key(caller, id);
        self.with(|known| {
            // A server that repeats the id of an object must not take it over.
            if known.find(key).is_none() {
                known.insert(key, endpoint.clone());
            }
        });
    }

    /// Returns the endpoint of an object.
    pub(crate) fn of(&self, caller: Option<NonZeroU64>, id: &str) -> Option<EndpointName> {
        let key = self.key(caller, id);
        self.with(|known| known.find(key))
    }

    /// Forgets an object, because its endpoint is gone.
    pub(crate) fn forget(&self, caller: Option<NonZeroU64>, id: &str) {
        let key = self.key(caller, id);
        self.with(|known| {
            known.new.remove(&key);
            known.old.remove(&key);
        });
    }

    /// Returns the key of an id for a caller. Two keys of 64 bits make a collision improbable.
    fn key(&self, caller: Option<NonZeroU64>, id: &str) -> u128 {
        let caller = caller.map_or(0, NonZeroU64::get);
        let [high, low] = self.hashes.each_ref().map(|it| it.hash_one((caller, id)));
        u128::from(high) << 64 | u128::from(low)
    }

    /// Changes the known keys.
    fn with<T>(&self, change: impl FnOnce(&mut Generations) -> T) -> T {
        // Each change leaves a valid map. Only requests with stored state come here.
        let known = self.known.lock();
        change(&mut known.unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Homes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homes").finish_non_exhaustive()
    }
}

impl Generations {
    /// Returns the endpoint of a key, and keeps the key for longer.
    fn find(&mut self, key: u128) -> Option<EndpointName> {
        if let Some(endpoint) = self.new.get(&key) {
            return Some(endpoint.clone());
        }
        let endpoint = self.old.remove(&key)?;
        self.insert(key, endpoint.clone());
        Some(endpoint)
    }

    /// Adds a key, and starts a generation if this one is full.
    fn insert(&mut self, key: u128, endpoint: EndpointName) {
        if self.new.len() >= GENERATION {
            self.old = mem::take(&mut self.new);
        }
        self.new.insert(key, endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(number: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(number)
    }

    #[test]
    fn endpoint_is_known_to_its_caller_only() {
        let homes = Homes::default();
        homes.remember(caller(1), "file-1", &"b".into());
        assert_eq!(homes.of(caller(1), "file-1"), Some("b".into()));
        for (other, id) in [(2, "file-1"), (0, "file-1"), (1, "file-2")] {
            assert_eq!(homes.of(caller(other), id), None);
        }
        homes.remember(caller(1), "file-1", &"c".into());
        assert_eq!(
            homes.of(caller(1), "file-1"),
            Some("b".into()),
            "the first one"
        );
        homes.forget(caller(1), "file-1");
        assert_eq!(homes.of(caller(1), "file-1"), None);
    }

    #[test]
    fn latest_ids_are_kept_and_their_number_is_bounded() {
        let homes = Homes::default();
        homes.remember(None, "used", &"a".into());
        for n in 0..5 * GENERATION {
            homes.remember(None, &n.to_string(), &"b".into());
            assert!(
                homes.of(None, "used").is_some(),
                "it is used after {n} others"
            );
        }
        let known = homes.known.lock().unwrap();
        assert!(known.new.len() + known.old.len() <= 2 * GENERATION);
        drop(known);
        assert!(homes.of(None, "0").is_none());
        assert!(homes.of(None, &(4 * GENERATION).to_string()).is_some());
    }
}
