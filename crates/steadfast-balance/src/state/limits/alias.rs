//! Limit keys with another name at an endpoint.
//!
//! A model may have several names. Its requests share one state, the one of its name at the
//! endpoint.

use std::num::NonZeroU64;

use steadfast_core::LimitKey;

use super::demand::LimitId;

/// The limit keys with another name at one endpoint. Most endpoints have none.
#[derive(Debug)]
pub(super) struct KeyAliases(Box<[(LimitKey, LimitKey)]>);

impl KeyAliases {
    /// Keeps pairs of a key and its name at the endpoint.
    pub(super) fn new(pairs: &[(LimitKey, LimitKey)]) -> Self {
        Self(pairs.into())
    }

    /// Returns whether a state with a bit in `word` may limit a request with the bits of `mask`.
    /// The bit of an alias is the one of another key.
    #[inline]
    pub(super) fn may_concern(&self, word: u64, mask: u64) -> bool {
        word & mask != 0 || word != 0 && !self.0.is_empty()
    }

    /// Returns the identity of a request, with the key's name at the endpoint.
    #[inline]
    pub(super) fn id(&self, id: Option<LimitId>) -> Option<LimitId> {
        if self.0.is_empty() {
            return id;
        }
        id.map(|id| self.id_here(id))
    }

    /// Returns the identity with the key's name at the endpoint, apart from the common case.
    #[inline(never)]
    fn id_here(&self, id: LimitId) -> LimitId {
        let hash = id.key.map_or(0, NonZeroU64::get);
        let known = self.0.iter().find(|(key, _)| key.hash_value() == hash);
        let here = known.and_then(|(_, here)| NonZeroU64::new(here.hash_value()));
        LimitId {
            key: here.or(id.key),
            ..id
        }
    }

    /// Returns the name of a key at the endpoint.
    #[inline]
    pub(super) fn key<'a>(&'a self, key: Option<&'a LimitKey>) -> Option<&'a LimitKey> {
        if self.0.is_empty() {
            return key;
        }
        let known = key.and_then(|key| self.0.iter().find(|(known, _)| known == key));
        known.map(|(_, here)| here).or(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The selection took an endpoint for free whose key was limited under its other name.
    #[test]
    fn any_limit_may_concern_an_alias() {
        let none = KeyAliases::new(&[]);
        let some = KeyAliases::new(&[(LimitKey::new("a"), LimitKey::new("b"))]);
        for (word, mask, of_none, of_some) in [
            (0b01, 0b01, true, true),
            (0b10, 0b01, false, true),
            (0, 0b01, false, false),
        ] {
            assert_eq!(none.may_concern(word, mask), of_none, "{word:b}");
            assert_eq!(some.may_concern(word, mask), of_some, "{word:b}");
        }
    }
}
