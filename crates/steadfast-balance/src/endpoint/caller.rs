//! The credential of a caller, as a hash.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::LazyLock;

use http::{HeaderMap, Uri};

use crate::endpoint::private::{is_account, is_private_pair};

/// Hashes credentials with secrets of this process, so that a hash discloses nothing.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Returns a hash of the credentials in a request, or `None` without any.
///
/// The hash differs between two runs of a program, and discloses nothing. Cookies, sessions and
/// signatures do not count: they change, while the account stays.
#[must_use]
pub fn credential_hash(headers: &HeaderMap, uri: &Uri) -> Option<NonZeroU64> {
    let mut hasher = HASHES.build_hasher();
    let mut has_any = false;
    for (name, value) in headers {
        if is_account(name) {
            has_any = true;
            (name.as_str(), value.as_bytes()).hash(&mut hasher);
        }
    }
    let query = uri.query().unwrap_or_default();
    for pair in query.split('&').filter(|pair| is_private_pair(pair)) {
        has_any = true;
        pair.hash(&mut hasher);
    }
    has_any.then(|| NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn each_credential_has_its_hash() {
        let hash = |name: &str, value: &str, uri: &str| {
            let request = Request::get(uri).header(name, value).body(()).unwrap();
            credential_hash(request.headers(), request.uri())
        };
        let bearer = hash("authorization", "Bearer a", "/v1");
        assert!(bearer.is_some());
        assert_eq!(bearer, hash("authorization", "Bearer a", "/v1/models?a=b"));
        assert_ne!(bearer, hash("authorization", "Bearer b", "/v1"));
        assert_ne!(bearer, hash("x-api-key", "Bearer a", "/v1"));
        assert_ne!(
            hash("accept", "*/*", "/v1?key=a"),
            hash("accept", "*/*", "/v1?key=b")
        );
        for (name, value) in [("accept", "*/*"), ("cookie", "session=1")] {
            assert_eq!(hash(name, value, "/v1?model=a"), None, "{name}");
        }
    }
}
