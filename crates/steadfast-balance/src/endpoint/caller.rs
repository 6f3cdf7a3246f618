//! The credential of a caller, as a hash.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::LazyLock;

use http::{HeaderMap, Uri};

use crate::endpoint::private::{is_account, is_account_pair};

/// Hashes credentials with secrets of this process, so that a hash discloses nothing.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Returns a hash of the credentials in a request, or `None` without any.
///
/// The hash differs between two runs of a program, and discloses nothing. Cookies, sessions and
/// signatures do not count: they change, while the account stays.
#[must_use]
pub fn credential_hash(headers: &HeaderMap, uri: &Uri) -> Option<NonZeroU64> {
    let headers = (headers.iter())
        .filter(|(name, _)| is_account(name))
        .map(|(name, value)| HASHES.hash_one((name.as_str(), value.as_bytes())));
    let query = uri.query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| is_account_pair(pair));
    // A sum, because clients and proxies send the same credentials in any order.
    let hash = headers
        .chain(pairs.map(|pair| HASHES.hash_one(pair)))
        .reduce(u64::wrapping_add)?;
    Some(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
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
        // A signature differs in each request.
        for query in ["sig=1", "X-Amz-Signature=1", "session_token=1", "a=1;sig=2"] {
            let mut uri = String::from("/v1?");
            uri.push_str(query);
            assert_eq!(hash("accept", "*/*", &uri), None, "{query}");
        }
    }

    /// A caller with two credentials had two states, each without the limits of the other.
    #[test]
    fn order_of_credentials_leaves_their_hash_unchanged() {
        let hash = |names: [&str; 2], uri: &str| {
            let mut request = Request::get(uri);
            for name in names {
                request = request.header(name, "value of ".to_owned() + name);
            }
            let request = request.body(()).unwrap();
            credential_hash(request.headers(), request.uri())
        };
        let known = hash(["authorization", "x-api-key"], "/v1?key=a&token=b");
        assert!(known.is_some());
        assert_eq!(
            known,
            hash(["x-api-key", "authorization"], "/v1?token=b&key=a")
        );
        assert_ne!(known, hash(["x-api-key", "x-api-key"], "/v1?token=b&key=a"));
        assert_ne!(
            known,
            hash(["authorization", "x-api-key"], "/v1?key=b&token=a")
        );
    }
}
