//! The caller of a request, and the kind of the request.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use steadfast_core::LimitKey;

/// The headers that differ between callers.
static CREDENTIALS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Returns hashes of the caller of a request and of its kind.
///
/// A caller is known by its credential. Without one, or if all callers have the same one, the
/// method, the path, the limit key and the size of the body distinguish their requests.
pub(crate) fn caller_of(head: &Parts, size: u64) -> (u64, u64) {
    let credentials = CREDENTIALS.each_ref().map(|name| head.headers.get(name));
    let credentials = credentials.map(|value| value.map(|value| value.as_bytes()));
    let key = LimitKey::of(&head.extensions).map(LimitKey::as_str);
    let kind = (&head.method, head.uri.path(), key, size);
    // The hashes choose an account, and are neither kept nor shown.
    let hashes = BuildHasherDefault::<DefaultHasher>::new();
    (hashes.hash_one(credentials), hashes.hash_one(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn caller_is_known_by_credential_and_kind_of_request() {
        let of = |uri: &str, key: Option<&str>, size| {
            let request = Request::get(uri);
            let request = match key {
                Some(key) => request.header("authorization", key),
                None => request,
            };
            caller_of(&request.body(()).unwrap().into_parts().0, size)
        };
        let one = of("/v1/chat?a=b", Some("Bearer a"), 7);
        assert_eq!(one, of("/v1/chat", Some("Bearer a"), 7));
        for (other, same_caller, same_kind) in [
            (of("/v1/chat", Some("Bearer b"), 7), false, true),
            (of("/v1/chat", None, 7), false, true),
            (of("/v1/embeddings", Some("Bearer a"), 7), true, false),
            (of("/v1/chat", Some("Bearer a"), 8), true, false),
        ] {
            assert_eq!(
                (one.0 == other.0, one.1 == other.1),
                (same_caller, same_kind)
            );
        }
    }
}
