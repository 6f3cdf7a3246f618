//! The rejections of the endpoint's own credential.
//!
//! A rejection may concern the path: a valid key can lack the scope for it. So rejections count per
//! family of paths, and only rejections of different requests count. Several rejected families
//! count together. If the credential is accepted in one family, the rejections in the others
//! concern only these families.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Uri;
use steadfast_core::layer::stable_hash;

use crate::state::bench::RequestId;

/// The number of rejected requests that starts a bench. Fewer may be an accident.
const REJECTIONS: usize = 3;
/// The number of families that are kept. Callers choose the paths, so it is bounded.
const FAMILIES: usize = 16;
/// The number of segments of a path that distinguish families.
const SEGMENTS: usize = 4;
/// A longer segment is an id.
const LONGEST_NAME: usize = 24;

/// The rejections of the own credential of an endpoint, per family of paths.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    /// Whether there is any family. A healthy endpoint reads only this value.
    any: AtomicBool,
    /// The latest rejection last.
    families: Mutex<Vec<Family>>,
}

/// The paths with the same names and other ids.
#[derive(Debug)]
struct Family {
    hash: u64,
    /// The first different requests that were rejected.
    requests: Vec<RequestId>,
    /// Whether the credential was accepted in another family meanwhile.
    lacks_scope: bool,
}

impl Rejections {
    /// Counts a rejection. Returns whether the credential as a whole is rejected.
    pub(crate) fn rejected(&self, target: Option<&Uri>, request: RequestId) -> bool {
        let hash = family_of(target);
        let mut families = self.lock();
        let mut family = match families.iter().position(|family| family.hash == hash) {
            Some(known) => families.remove(known),
            None => Family::new(hash),
        };
        let is_rejected = family.rejected(request);
        if families.len() >= FAMILIES {
            families.remove(0);
        }
        families.push(family);
        let rejected = families.iter().filter(|family| !family.requests.is_empty());
        let is_whole = is_rejected || rejected.count() >= REJECTIONS;
        self.any.store(true, Ordering::Release);
        is_whole
    }

    /// Records that the endpoint accepted its credential for a request.
    #[inline]
    pub(crate) fn accepted(&self, target: Option<&Uri>) {
        // Reads first, so that a healthy endpoint writes nothing here.
        if self.any.load(Ordering::Acquire) {
            self.accepted_after_rejections(target);
        }
    }

    #[cold]
    fn accepted_after_rejections(&self, target: Option<&Uri>) {
        let hash = family_of(target);
        let mut families = self.lock();
        families.retain(|family| family.hash != hash);
        for family in families.iter_mut() {
            family.requests.clear();
            family.lacks_scope = true;
        }
        self.any.store(!families.is_empty(), Ordering::Release);
    }

    /// Forgets all rejections, by order.
    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Family>> {
        // No panic can interrupt a change, so a poisoned value is consistent.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    fn new(hash: u64) -> Self {
        Self {
            hash,
            requests: Vec::new(),
            lacks_scope: false,
        }
    }

    /// Counts a rejection. Returns whether enough different requests were rejected.
    fn rejected(&mut self, request: RequestId) -> bool {
        let is_new = (self.requests.iter()).all(|known| request.differs_from(*known));
        if is_new && !self.lacks_scope && self.requests.len() < REJECTIONS {
            self.requests.push(request);
        }
        self.requests.len() >= REJECTIONS
    }
}

/// Returns the hash of the family of a path: its names, without ids, versions and its query.
fn family_of(target: Option<&Uri>) -> u64 {
    let path = target.map_or("", Uri::path);
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.take(SEGMENTS).fold(0, |hash: u64, segment| {
        let is_id = segment.len() > LONGEST_NAME || segment.bytes().any(|c| c.is_ascii_digit());
        let name = if is_id { "*" } else { segment };
        hash.rotate_left(7) ^ stable_hash(name.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU16;

    const CHAT: &str = "/v1/chat/completions";
    const FILES: &str = "/v1/files";

    fn rejected(rejections: &Rejections, path: &str, request: u16) -> bool {
        let request = NonZeroU16::new(request).map_or(RequestId::Unknown, RequestId::Digest);
        rejections.rejected(Some(&path.parse().unwrap()), request)
    }

    fn accepted(rejections: &Rejections, path: &str) {
        rejections.accepted(Some(&path.parse().unwrap()));
    }

    #[test]
    fn three_different_requests_of_one_family_reject_the_credential() {
        let rejections = Rejections::default();
        for _ in 0..9 {
            assert!(!rejected(&rejections, CHAT, 1), "one request");
            assert!(!rejected(&rejections, FILES, 2), "another family");
        }
        assert!(!rejected(&rejections, CHAT, 2));
        assert!(rejected(&rejections, CHAT, 3));
        assert!(rejected(&rejections, CHAT, 1), "until it is accepted");
        accepted(&rejections, CHAT);
        assert!(!rejected(&rejections, CHAT, 3));
    }

    /// Each caller may send one kind of request.
    #[test]
    fn three_families_reject_the_credential() {
        let rejections = Rejections::default();
        assert!(!rejected(&rejections, CHAT, 1));
        assert!(!rejected(&rejections, FILES, 1));
        assert!(rejected(&rejections, "/v1/embeddings", 1));
        accepted(&rejections, CHAT);
        assert!(!rejected(&rejections, "/v1/messages", 1));
        assert!(!rejected(&rejections, FILES, 1));
    }

    /// A valid key that lacks the scope for a path took the endpoint from all callers.
    #[test]
    fn family_lacks_scope_after_success_of_another() {
        let rejections = Rejections::default();
        rejected(&rejections, "/v1/files/file-1", 1);
        accepted(&rejections, CHAT);
        for request in 1..100 {
            let path = format!("/v1/files/file-{request}?a={request}");
            assert!(!rejected(&rejections, &path, request));
        }
        assert!(!rejected(&rejections, CHAT, 1));
        assert!(!rejected(&rejections, CHAT, 2));
        assert!(rejected(&rejections, CHAT, 3), "the key is revoked");
    }

    #[test]
    fn number_of_families_is_bounded() {
        let rejections = Rejections::default();
        for n in 0..10_000_u16 {
            let name = n.to_string().replace(|c: char| c.is_ascii_digit(), "x");
            rejected(
                &rejections,
                &format!("/{}{name}", "y".repeat(usize::from(n) % 20)),
                n,
            );
        }
        assert!(rejections.lock().len() <= FAMILIES);
        rejections.clear();
        assert!(!rejections.any.load(Ordering::Acquire));
    }

    #[test]
    fn family_of_a_path_is_independent_of_ids() {
        let family = |path: &str| family_of(Some(&path.parse().unwrap()));
        assert_eq!(family("/v1/files/file-12a"), family("/v1/files/file-9?x=y"));
        assert_eq!(family("/v1/chat/completions/"), family(CHAT));
        assert_ne!(family("/v1/files/file-12a"), family(FILES));
        assert_ne!(
            family("/v1/chat/completions"),
            family("/v1/completions/chat")
        );
    }
}
