//! The rejections of the endpoint's own credential.
//!
//! A rejection may concern the path: a valid key can lack the scope for it. So rejections count per
//! family of paths, and only rejections of different requests count. Only a family in which the
//! credential was accepted before is evidence, because a caller can choose a path out of scope.
//! Exception: no family has a success yet. Then the credential may be wrong from the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use steadfast_core::layer::stable_hash;

use crate::state::bench::RequestId;

/// The number of rejected requests that starts a bench. Fewer may be an accident.
const REJECTIONS: usize = 3;
/// The number of families that are kept, of each kind. Callers choose the paths, so it is bounded.
const FAMILIES: usize = 16;
/// The number of segments of a path that distinguish families.
const SEGMENTS: usize = 4;
/// A longer segment is an id.
const LONGEST_NAME: usize = 24;
/// The interval at which a healthy endpoint learns the family of a success. A frequent family is
/// found soon, and the other successes read one value.
const SAMPLES: Duration = Duration::from_secs(10);

/// The rejections of the own credential of an endpoint, per family of paths.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    /// The age of the pool, in seconds, from which on a success is evidence. Zero while rejections
    /// are known.
    due: AtomicU64,
    families: Mutex<Families>,
}

/// The paths with the same names and other ids, by their hashes.
#[derive(Debug, Default)]
struct Families {
    /// The families with rejections. The latest rejection last.
    rejected: Vec<Family>,
    /// The families in which the credential was accepted. The newest one last.
    accepted: Vec<u64>,
}

/// A family with rejections.
#[derive(Debug)]
struct Family {
    hash: u64,
    /// The first different requests that were rejected.
    requests: Vec<RequestId>,
}

impl Rejections {
    /// Counts a rejection. Returns whether the credential as a whole is rejected.
    ///
    /// If a bench for rejections has just ended, `is_again`, one rejection is enough.
    pub(crate) fn rejected(
        &self,
        target: Option<&Uri>,
        request: RequestId,
        is_again: bool,
    ) -> bool {
        let hash = family_of(target);
        let mut families = self.lock();
        if !families.is_evidence(hash) {
            return false;
        }
        self.due.store(0, Ordering::Release);
        families.rejected(hash, request) || is_again
    }

    /// Records that the endpoint accepted its credential for a request that did not succeed. The
    /// server may answer some paths without a check, so other families keep their rejections.
    pub(crate) fn accepted(&self, target: Option<&Uri>) {
        if self.due.load(Ordering::Acquire) > 0 {
            return;
        }
        let mut families = self.lock();
        // Without a success yet, no family is known. A hash costs 450 instructions.
        if !families.rejected.is_empty() {
            let hash = family_of(target);
            families.rejected.retain(|family| family.hash != hash);
        }
    }

    /// Records a success. `age` is the age of the pool.
    #[inline]
    pub(crate) fn succeeded(&self, target: Option<&Uri>, age: Duration) {
        // Reads first, so that a healthy endpoint writes nothing here.
        let due = self.due.load(Ordering::Acquire);
        if age.as_secs() >= due {
            self.learn(target, (due, age));
        }
    }

    /// Learns the family of a success. A healthy endpoint learns from one request per interval.
    #[cold]
    fn learn(&self, target: Option<&Uri>, (due, age): (u64, Duration)) {
        let next = age.saturating_add(SAMPLES).as_secs();
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        let is_first = self.due.compare_exchange(due, next, order.0, order.1);
        if is_first.is_ok() {
            self.lock().succeeded(family_of(target));
        }
    }

    /// Forgets all rejections, by order.
    pub(crate) fn clear(&self) {
        self.lock().rejected.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        // No panic can interrupt a change, so a poisoned value is consistent.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Families {
    /// Returns whether a rejection in this family can be about the credential as a whole.
    fn is_evidence(&self, hash: u64) -> bool {
        self.accepted.is_empty() || self.accepted.contains(&hash)
    }

    /// Counts a rejection. Returns whether enough different requests were rejected.
    fn rejected(&mut self, hash: u64, request: RequestId) -> bool {
        let known = self.rejected.iter().position(|family| family.hash == hash);
        let mut family = match known {
            Some(known) => self.rejected.remove(known),
            None => Family {
                hash,
                requests: Vec::new(),
            },
        };
        let is_rejected = family.rejected(request);
        if self.rejected.len() >= FAMILIES {
            self.rejected.remove(0);
        }
        self.rejected.push(family);
        is_rejected
    }

    /// Records a success. The families with rejections lack only a permission.
    fn succeeded(&mut self, hash: u64) {
        let rejected = std::mem::take(&mut self.rejected);
        let lacks_scope = |known: &u64| rejected.iter().any(|family| family.hash == *known);
        self.accepted.retain(|known| !lacks_scope(known));
        if !self.accepted.contains(&hash) {
            if self.accepted.len() >= FAMILIES {
                self.accepted.remove(0);
            }
            self.accepted.push(hash);
        }
    }
}

impl Family {
    /// Counts a rejection. Returns whether enough different requests were rejected.
    fn rejected(&mut self, request: RequestId) -> bool {
        let is_new = (self.requests.iter()).all(|known| request.differs_from(*known));
        if is_new && self.requests.len() < REJECTIONS {
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
    const START: Duration = Duration::ZERO;

    fn rejected(rejections: &Rejections, path: &str, request: u16) -> bool {
        let request = NonZeroU16::new(request).map_or(RequestId::Unknown, RequestId::Digest);
        rejections.rejected(Some(&path.parse().unwrap()), request, false)
    }

    fn accepted(rejections: &Rejections, path: &str) {
        rejections.accepted(Some(&path.parse().unwrap()));
    }

    fn succeeded(rejections: &Rejections, path: &str, age: Duration) {
        rejections.succeeded(Some(&path.parse().unwrap()), age);
    }

    #[test]
    fn three_different_requests_of_one_family_reject_the_credential() {
        for has_served in [false, true] {
            let rejections = Rejections::default();
            if has_served {
                succeeded(&rejections, CHAT, START);
            }
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
    }

    /// One caller with three paths out of scope benched an endpoint that was idle for 10 s.
    #[test]
    fn families_do_not_count_together() {
        let names = |n: u16| char::from_digit(u32::from(n) + 10, 36).expect("a letter");
        for has_served in [false, true] {
            let rejections = Rejections::default();
            if has_served {
                succeeded(&rejections, CHAT, START);
            }
            for n in 0..26 {
                let path = format!("/v1/{}", names(n));
                assert!(!rejected(&rejections, &path, n + 1), "{path}");
            }
        }
    }

    /// A valid key that lacks the scope for a path took the endpoint from all callers.
    #[test]
    fn family_without_success_is_no_evidence_after_success_of_another() {
        for rejects_before in [false, true] {
            let rejections = Rejections::default();
            if rejects_before {
                rejected(&rejections, FILES, 1);
            }
            succeeded(&rejections, CHAT, START);
            for request in 1..100 {
                for path in ["/v1/files", "/v1/files/file-1", "/v1/batches"] {
                    let path = format!("{path}?a={request}");
                    assert!(!rejected(&rejections, &path, request));
                }
            }
            assert!(!rejected(&rejections, CHAT, 1));
            assert!(!rejected(&rejections, CHAT, 2));
            assert!(rejected(&rejections, CHAT, 3), "the key is revoked");
        }
    }

    /// A permission may be withdrawn.
    #[test]
    fn rejected_family_is_no_evidence_after_success_of_another() {
        let rejections = Rejections::default();
        succeeded(&rejections, FILES, START);
        rejected(&rejections, FILES, 1);
        succeeded(&rejections, CHAT, START);
        for request in 1..9 {
            assert!(!rejected(&rejections, FILES, request));
        }
        succeeded(&rejections, FILES, 2 * SAMPLES);
        for request in 1..3 {
            assert!(!rejected(&rejections, FILES, request));
        }
        assert!(rejected(&rejections, FILES, 3));
    }

    /// The first success names one of several families.
    #[test]
    fn frequent_family_is_found_within_two_samples() {
        let rejections = Rejections::default();
        succeeded(&rejections, FILES, START);
        succeeded(&rejections, CHAT, SAMPLES / 2);
        assert_eq!(rejections.lock().accepted.len(), 1, "too soon");
        succeeded(&rejections, CHAT, SAMPLES);
        assert_eq!(rejections.lock().accepted.len(), 2);
        for request in 1..3 {
            assert!(!rejected(&rejections, CHAT, request));
        }
        assert!(rejected(&rejections, CHAT, 3));
    }

    /// The probe after a bench may be a request out of scope.
    #[test]
    fn one_rejection_after_a_bench_is_enough_in_a_family_with_success() {
        let rejections = Rejections::default();
        succeeded(&rejections, CHAT, START);
        let again = |path: &str| {
            let target = path.parse().unwrap();
            rejections.rejected(Some(&target), RequestId::Repeated, true)
        };
        assert!(again(CHAT));
        assert!(!again(FILES));
    }

    /// A server may answer an unknown path without a check of the credential.
    #[test]
    fn refusal_for_another_reason_clears_its_own_family_only() {
        let rejections = Rejections::default();
        for request in 1..3 {
            assert!(!rejected(&rejections, CHAT, request));
        }
        accepted(&rejections, "/unknown");
        assert!(rejected(&rejections, CHAT, 3));
    }

    #[test]
    fn number_of_families_is_bounded() {
        let rejections = Rejections::default();
        for n in 0..10_000_u16 {
            let name = n.to_string().replace(|c: char| c.is_ascii_digit(), "x");
            let path = format!("/{}{name}", "y".repeat(usize::from(n) % 20));
            rejected(&rejections, &path, n);
        }
        assert!(rejections.lock().rejected.len() <= FAMILIES);
        rejections.clear();
        assert!(rejections.lock().rejected.is_empty());
        for n in 0..100_u32 {
            let name = char::from_u32(0x61 + n % 26).expect("a letter");
            let path = format!("/{name}/{}", "y".repeat(n as usize % 20));
            succeeded(&rejections, &path, n * SAMPLES);
        }
        assert_eq!(rejections.lock().accepted.len(), FAMILIES);
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
