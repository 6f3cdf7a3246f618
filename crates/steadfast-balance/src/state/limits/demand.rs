//! The parts of a request that decide which limits apply to it.

use std::num::NonZeroU64;

use steadfast_core::LimitKey;
use tokio::time::Instant;

/// The bit of the states that all requests of an endpoint share.
pub(super) const WIDE: u64 = 1 << 63;

/// The parts of a request that decide which limits apply to it, and the tokens that it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// The hash of the model of the request, or of another dimension of a limit. The key itself is
    /// large to move, and stays in the extensions of the request.
    key: Option<NonZeroU64>,
    /// The hash of the caller's credential, if an endpoint passes it on.
    credential: Option<NonZeroU64>,
    /// The bits of the states that may limit the request.
    mask: u64,
    /// The estimated tokens of the request.
    pub(crate) tokens: Option<u64>,
    /// The arrival of the request, if an attempt may come before the send rate allows it. A layer
    /// above must repeat the request after a refusal, which would reach the caller otherwise.
    pub(crate) hurries_since: Option<Instant>,
}

/// The identity of a state at an endpoint.
///
/// The hashes are keyed with a secret of the process, so no caller can construct a collision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LimitId {
    pub(super) key: Option<NonZeroU64>,
    pub(super) credential: Option<NonZeroU64>,
}

impl Demand {
    #[inline]
    pub(crate) fn new(key: Option<&LimitKey>, tokens: Option<u64>) -> Self {
        let key = key.and_then(|key| NonZeroU64::new(key.hash_value()));
        Self {
            key,
            credential: None,
            mask: WIDE | key.map_or(0, |key| bit(key.get())),
            tokens,
            hurries_since: None,
        }
    }

    /// Sets the hash of the caller's credential.
    pub(crate) fn set_credential(&mut self, hash: Option<NonZeroU64>) {
        self.credential = hash;
    }

    /// Sets the arrival of a request whose attempts may come before the send rate allows them.
    pub(crate) fn hurry(self, hurries_since: Option<Instant>) -> Self {
        Self {
            hurries_since,
            ..self
        }
    }

    /// Returns the part of the demand that is independent of the key.
    pub(super) fn account(self) -> Self {
        Self {
            key: None,
            mask: WIDE,
            ..self
        }
    }

    /// Returns a number that requests with the same key share.
    pub(crate) fn key_group(&self) -> u64 {
        self.id(false).map_or(0, LimitId::hash)
    }

    /// Returns a number that requests with the same limits at each endpoint share.
    pub(crate) fn group(&self) -> u64 {
        self.id(true).map_or(0, LimitId::hash)
    }

    /// Returns the bits of the states that may limit the request.
    #[inline]
    pub(super) fn mask(&self) -> u64 {
        self.mask
    }

    /// Returns the identity of the request, with or without the caller's credential.
    #[inline]
    pub(super) fn id(&self, with_credential: bool) -> Option<LimitId> {
        let key = self.key;
        let credential = self.credential.filter(|_| with_credential);
        (key.is_some() || credential.is_some()).then_some(LimitId { key, credential })
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl LimitId {
    /// Returns the identity of the limits of its credential that are independent of its key. These
    /// are another state only if it has both.
    #[inline]
    pub(super) fn account(self) -> Option<Self> {
        (self.key.is_some() && self.credential.is_some()).then_some(Self { key: None, ..self })
    }

    /// Returns the hash by which a table finds the state.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        let key = self.key.map_or(0, NonZeroU64::get);
        key ^ self.credential.map_or(0, NonZeroU64::get)
    }
}

/// Returns the bit of a state with this hash. Different states may have the same bit.
#[inline]
pub(super) fn bit(hash: u64) -> u64 {
    1 << (hash >> 58)
}
