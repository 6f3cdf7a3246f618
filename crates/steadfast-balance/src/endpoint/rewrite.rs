//! Converts the caller's request into a request for an endpoint.

use std::fmt;

use http::header::{CONNECTION, HOST, TE, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, uri};
use steadfast_core::layer::{is_hop_by_hop, leaves_root, remove_named_by_connection};

use crate::endpoint::Endpoint;
use crate::endpoint::connect_addr::ResolvedAddr;
use crate::endpoint::credential::Credential;
use crate::endpoint::known_paths;
use crate::endpoint::private::{is_common, is_private, log_removal, private_part};

/// Returns whether a header belongs to one connection, or names another server.
fn is_for_another(name: &HeaderName) -> bool {
    is_hop_by_hop(name) || *name == HOST
}

/// The only value of `te` that is not hop-by-hop.
const TRAILERS: &str = "trailers";

/// The error for a request that must not be sent: its target does not fit behind the base of an
/// endpoint, or it opens a tunnel.
#[derive(Debug)]
pub(crate) struct InvalidTarget(());

/// Directs `request` to `endpoint`. Returns the target that its caller has sent.
///
/// If the path begins with `root`, the path of the endpoint replaces that prefix. Query parameters
/// stay. A credential among them stays only if the endpoint receives the caller's credentials.
///
/// # Errors
///
/// Returns an error if there is no such URI. The request must not be sent then. It would carry the
/// endpoint's credential to a server of the caller's choice.
pub(crate) fn rewrite<B>(
    request: &mut Request<B>,
    endpoint: &Endpoint,
    root: &str,
) -> Result<Uri, InvalidTarget> {
    let allows_tunnel = endpoint.dangerous_methods;
    if !allows_tunnel && is_tunnel(request.method()) {
        return Err(InvalidTarget(()));
    }
    let target = target(request.uri(), endpoint, root)?;
    let before = std::mem::replace(request.uri_mut(), target);
    // An HTTP/1.1 client rejects the HTTP/2 version of a server's request. The client sets its own.
    *request.version_mut() = Version::HTTP_11;

    let headers = request.headers_mut();
    // The endpoint's own credential replaces all values of its header, so removal is not needed.
    let own = endpoint.credential.as_ref().map(Credential::name);
    let is_removed = |name: &HeaderName| {
        is_for_another(name)
            || !endpoint.pass_credentials
                && own != Some(name)
                && is_private(name)
                && !endpoint.pass_headers.contains(name)
    };
    // Without such a header, the cost is one pass over the names.
    if headers
        .keys()
        .any(|name| !is_common(name) && is_removed(name))
    {
        remove(headers, allows_tunnel, is_removed)?;
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &endpoint.default_headers {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Some(credential) = &endpoint.credential {
        credential.apply(headers);
    }
    match endpoint.address {
        Some(address) => {
            let address = ResolvedAddr::new(address);
            request.extensions_mut().insert(address);
        }
        // An address from another endpoint would carry the credential to another server.
        None if request.extensions().get::<ResolvedAddr>().is_some() => {
            request.extensions_mut().remove::<ResolvedAddr>();
        }
        None => {}
    }
    Ok(before)
}

/// Returns whether an endpoint must not get this method with its credential.
///
/// A server answers `TRACE` with the request, so the caller would read the credential. `CONNECT`
/// and an upgrade open a tunnel.
fn is_tunnel(method: &Method) -> bool {
    *method == Method::CONNECT || *method == Method::TRACE
}

/// Returns whether a request opens a tunnel by an upgrade. `h2c` is no tunnel, and some clients
/// offer it with each request.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let opens_tunnel = |value: &HeaderValue| {
        let protocols = value.as_bytes().split(|&byte| byte == b',');
        protocols
            .map(<[u8]>::trim_ascii)
            .any(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case(b"h2c"))
    };
    headers.get_all(UPGRADE).iter().any(opens_tunnel)
}

/// Removes headers by name, and the headers that `connection` names.
///
/// Returns an error for an upgrade that opens a tunnel, unless the endpoint allows it.
fn remove(
    headers: &mut HeaderMap,
    allows_tunnel: bool,
    is_removed: impl Fn(&HeaderName) -> bool,
) -> Result<(), InvalidTarget> {
    // `upgrade` is one of the headers that are removed.
    if !allows_tunnel && is_upgrade(headers) {
        return Err(InvalidTarget(()));
    }
    // HTTP/2 allows only this value, and gRPC requires it.
    let takes_trailers = headers.get(TE).is_some_and(|te| te == TRAILERS);
    if headers.contains_key(CONNECTION) {
        remove_named_by_connection(headers);
    }
    while let Some(name) = headers.keys().find(|name| is_removed(name)).cloned() {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static(TRAILERS));
    }
    Ok(())
}

/// Returns the part of a query pair for which the endpoint does not get the pair.
fn removed_part<'a>(pair: &'a str, endpoint: &Endpoint) -> Option<&'a str> {
    match endpoint.pass_credentials {
        true => None,
        false => private_part(pair, &endpoint.pass_query),
    }
}

/// Returns the URI at the endpoint.
///
/// Returns an error if the target has no path, such as `*` or `models`. It also does so if the
/// target leaves the base with `..`, or if the URI becomes too long.
fn target(uri: &Uri, endpoint: &Endpoint, root: &str) -> Result<Uri, InvalidTarget> {
    let path = strip_root(uri.path(), root);
    let has_path = uri.path().starts_with('/') && (path.is_empty() || path.starts_with('/'));
    if !has_path {
        return Err(InvalidTarget(()));
    }
    let mut parts = uri::Parts::default();
    parts.scheme = Some(endpoint.base.scheme.clone());
    parts.authority = Some(endpoint.base.authority.clone());
    parts.path_and_query = Some(path_and_query(uri, path, endpoint)?);
    Uri::from_parts(parts).map_err(|_| InvalidTarget(()))
}

/// Returns the path and the query at the endpoint. `path` is the path below the request root.
fn path_and_query(
    uri: &Uri,
    path: &str,
    endpoint: &Endpoint,
) -> Result<PathAndQuery, InvalidTarget> {
    let base = &endpoint.base;
    let is_plain = uri.query().is_none() && base.query.is_none() && base.default_query.is_empty();
    let known = is_plain.then(|| known_paths::find(&base.path, path));
    if let Some(known) = known.flatten() {
        return Ok(known);
    }
    if leaves_root(path) {
        return Err(InvalidTarget(()));
    }
    let same = unchanged(uri, path, endpoint);
    let new = same.map_or_else(|| rebuilt(uri, path, endpoint), Ok)?;
    if is_plain {
        known_paths::keep(&base.path, &new);
    }
    Ok(new)
}

/// Returns the path and the query of the request, if the endpoint gets them as they are. `path` is
/// the path below the request root.
///
/// That is usual: the request root and the path of the base are mostly equal. No text is built
/// then.
fn unchanged(uri: &Uri, path: &str, endpoint: &Endpoint) -> Option<PathAndQuery> {
    let base = &endpoint.base;
    let root = &uri.path()[..uri.path().len() - path.len()];
    // `memcmp` is slow for empty strings, see `strip_root`.
    let is_same_root = root.len() == base.path.len() && (root.is_empty() || root == base.path);
    let is_same_query = base.query.is_none()
        && base.default_query.is_empty()
        && uri.query().is_none_or(|own| {
            let stays = |pair| removed_part(pair, endpoint).is_none();
            !own.is_empty() && own.split('&').all(stays)
        });
    let same = uri
        .path_and_query()
        .filter(|_| is_same_root && is_same_query)?;
    // A URI without a path has the path `/`, which its text lacks.
    same.as_str().starts_with('/').then(|| same.clone())
}

/// Builds the path and the query at the endpoint. `path` is the path below the request root.
fn rebuilt(uri: &Uri, path: &str, endpoint: &Endpoint) -> Result<PathAndQuery, InvalidTarget> {
    let base = &endpoint.base;
    let own = uri.query().unwrap_or_default();
    let other = base.query.as_deref().unwrap_or_default();
    let queries = [own, other].into_iter().filter(|query| !query.is_empty());
    let length = base.path.len() + path.len() + queries.map(|query| query.len() + 1).sum::<usize>();
    // The exact length for most requests. Spare capacity costs a copy or one more allocation.
    let mut text = String::with_capacity(length.max(1));
    text.push_str(&base.path);
    text.push_str(path);
    if text.is_empty() {
        text.push('/');
    }
    // Most requests have no query, and a split of nothing yields an empty pair.
    let own = Some(own).filter(|own| !own.is_empty());
    let pairs = own.into_iter().flat_map(|own| own.split('&'));
    let pairs = pairs.filter(|pair| removed_part(pair, endpoint).map(log_removal).is_none());
    let parts = [(!other.is_empty()).then_some(other)].into_iter().flatten();
    let parts = parts.chain(pairs);
    let mut separator = '?';
    for part in parts {
        text.push(separator);
        text.push_str(part);
        separator = '&';
    }
    for (name, value) in &base.default_query {
        let is_name = |pair: &str| pair.split('=').next() == Some(name);
        if !uri.query().is_some_and(|own| own.split('&').any(is_name)) {
            text.extend([separator]);
            text.extend([name.as_str(), "=", value]);
            separator = '&';
        }
    }
    PathAndQuery::try_from(text).map_err(|_| InvalidTarget(()))
}

/// Returns `path` without `root`, such as `/v1/models` without `/v1`.
///
/// A longer segment, as in `/v1beta`, does not match.
pub(crate) fn strip_root<'a>(path: &'a str, root: &str) -> &'a str {
    // A comparison with an empty string costs 40 ns where `memcmp` uses masked reads. The reason is
    // that the address of an empty string is not mapped memory.
    if root.is_empty() {
        return path;
    }
    match path.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the method or the target of the request cannot be sent to an endpoint")
    }
}

impl std::error::Error for InvalidTarget {}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;
    use proptest::prelude::*;

    fn endpoint(base: &str) -> Endpoint {
        Endpoint::new("a", base).unwrap()
    }

    fn rewritten(uri: &str, base: &str, root: &str) -> String {
        let mut request = Request::get(uri).body(()).unwrap();
        rewrite(&mut request, &endpoint(base), root).expect("it has a path");
        request.uri().to_string()
    }

    /// Azure requires `api-version`, and its SDK sends one.
    #[test]
    fn value_of_caller_precedes_defaults() {
        let version = HeaderName::from_static("x-version");
        let own = HeaderValue::from_static("default");
        for (uri, base, expected) in [
            ("/chat", "http://a.test", "/chat?api-version=1"),
            (
                "/chat?api-version=2",
                "http://a.test",
                "/chat?api-version=2",
            ),
            ("/chat?api-version", "http://a.test", "/chat?api-version"),
            (
                "/chat?x-api-version=2",
                "http://a.test/?v=1",
                "/chat?v=1&x-api-version=2&api-version=1",
            ),
        ] {
            let endpoint = endpoint(base)
                .default_query("api-version", "1")
                .default_header(version.clone(), own.clone());
            for sent in [None, Some("caller")] {
                let mut request = Request::get(uri).body(()).unwrap();
                let value = sent.map(HeaderValue::from_static);
                request
                    .headers_mut()
                    .extend(value.map(|value| (version.clone(), value)));
                rewrite(&mut request, &endpoint, "").expect("it has a path");
                assert_eq!(request.uri().path_and_query().unwrap(), expected, "{uri}");
                assert_eq!(request.headers()["x-version"], sent.unwrap_or("default"));
            }
        }
    }

    #[test]
    fn rewrite_keeps_path_and_query_behind_base() {
        for (uri, base, root, expected) in [
            ("/chat", "http://a.test/v1", "", "http://a.test/v1/chat"),
            (
                "/v1/chat",
                "http://a.test/v1",
                "/v1",
                "http://a.test/v1/chat",
            ),
            (
                "/v1/chat",
                "http://a.test/v1/",
                "/v1",
                "http://a.test/v1/chat",
            ),
            (
                "/v1/chat",
                "http://a.test/v1",
                "",
                "http://a.test/v1/v1/chat",
            ),
            (
                "/v1beta/chat",
                "http://a.test/v1",
                "/v1",
                "http://a.test/v1/v1beta/chat",
            ),
            ("/chat", "http://a.test", "/v1", "http://a.test/chat"),
            ("/v1", "http://a.test", "/v1", "http://a.test/"),
            ("/", "https://a.test:8443", "", "https://a.test:8443/"),
            (
                "http://b.test/chat",
                "https://a.test/x",
                "",
                "https://a.test/x/chat",
            ),
            (
                "/a%20b/c?q=1%2B1&r",
                "http://a.test/x",
                "",
                "http://a.test/x/a%20b/c?q=1%2B1&r",
            ),
            (
                "/chat",
                "http://a.test/x?api-version=1",
                "",
                "http://a.test/x/chat?api-version=1",
            ),
            (
                "/chat?q",
                "http://a.test/x?v=1",
                "",
                "http://a.test/x/chat?v=1&q",
            ),
            (
                "/chat?key=secret",
                "http://a.test",
                "",
                "http://a.test/chat",
            ),
            (
                "/chat?a=1&key=secret&b=2",
                "http://a.test",
                "",
                "http://a.test/chat?a=1&b=2",
            ),
            (
                "/chat?a&&b=&key=1&",
                "http://a.test/x?v=1",
                "",
                "http://a.test/x/chat?v=1&a&&b=&",
            ),
            (
                "/chat?a=key&api-version=1",
                "http://a.test",
                "",
                "http://a.test/chat?a=key&api-version=1",
            ),
            ("/chat?", "http://a.test", "", "http://a.test/chat"),
            ("http://b.test", "http://a.test", "", "http://a.test/"),
            (
                "/v1/chat?key=1",
                "http://a.test/v1",
                "/v1",
                "http://a.test/v1/chat",
            ),
        ] {
            assert_eq!(
                rewritten(uri, base, root),
                expected,
                "{uri} at {base}, root {root:?}"
            );
        }
    }

    #[test]
    fn rewrite_removes_credentials_and_hop_by_hop_headers() {
        let mut request = Request::post("/chat")
            .version(Version::HTTP_2)
            .header("authorization", "Bearer caller")
            .header("x-api-key", "caller")
            .header("api-key", "caller")
            .header("x-goog-api-key", "caller")
            .header("openai-organization", "org-caller")
            .header("openai-project", "proj-caller")
            .header("cookie", "session=caller")
            .header("proxy-authorization", "caller")
            .header("host", "gateway.test")
            .header("connection", "keep-alive, X-Private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers, deflate;q=0.5")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        rewrite(&mut request, &endpoint("http://a.test"), "").unwrap();
        let left: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-type"]);
        assert_eq!(request.version(), Version::HTTP_11);
    }

    #[test]
    fn caller_credentials_pass_only_if_configured() {
        let request = || {
            Request::get("/chat?key=1")
                .header("x-api-key", "caller")
                .body(())
                .unwrap()
        };
        let own = endpoint("http://a.test")
            .api_key(Credential::bearer("own").unwrap())
            .header(HeaderName::from_static("x-org"), "7".parse().unwrap());

        let mut sent = request();
        rewrite(&mut sent, &own, "").unwrap();
        assert_eq!(sent.headers()[AUTHORIZATION], "Bearer own");
        assert_eq!(sent.headers()["x-org"], "7");
        assert!(!sent.headers().contains_key("x-api-key"));

        let mut sent = request();
        rewrite(&mut sent, &own.pass_credentials(true), "").unwrap();
        assert_eq!(sent.headers()[AUTHORIZATION], "Bearer own");
        assert_eq!(sent.headers()["x-api-key"], "caller");
        assert_eq!(sent.uri().query(), Some("key=1"));
    }

    #[test]
    fn repeated_caller_credentials_are_replaced() {
        let mut sent = Request::get("/chat")
            .header("authorization", "Bearer one")
            .header("authorization", "Bearer two")
            .header("connection", "authorization")
            .body(())
            .unwrap();
        let own = endpoint("http://a.test").api_key(Credential::bearer("own").unwrap());
        rewrite(&mut sent, &own, "").unwrap();
        let left: Vec<_> = sent.headers().get_all(AUTHORIZATION).iter().collect();
        assert_eq!(left, ["Bearer own"]);
        assert_eq!(sent.headers().len(), 1);
    }

    #[test]
    fn listed_headers_pass_and_others_do_not() {
        let mut sent = Request::get("/chat?token=1")
            .header("x-tenant-token", "caller")
            .header("x-auth-token", "caller")
            .header("authorization", "Bearer caller")
            .body(())
            .unwrap();
        let names = ["x-tenant-token", "authorization"].map(HeaderName::from_static);
        let own = endpoint("http://a.test")
            .api_key(Credential::bearer("own").unwrap())
            .pass_headers(names);
        rewrite(&mut sent, &own, "").unwrap();
        assert_eq!(sent.headers()["x-tenant-token"], "caller");
        assert_eq!(sent.headers()[AUTHORIZATION], "Bearer own");
        assert_eq!(sent.headers().len(), 2);
        assert_eq!(sent.uri(), "http://a.test/chat");
    }

    /// A search by `author` reached the endpoint as a search for everything.
    #[test]
    fn listed_query_parameters_pass_and_others_do_not() {
        for (base, expected) in [
            ("http://a.test", "/notes?author=me&startKey=1"),
            ("http://a.test?v=1", "/notes?v=1&author=me&startKey=1"),
        ] {
            let own = endpoint(base).pass_query(["author", "startKey"]);
            let uri = "/notes?author=me&key=secret&startKey=1&a=1;token=secret";
            let mut sent = Request::get(uri).body(()).unwrap();
            rewrite(&mut sent, &own, "").unwrap();
            assert_eq!(sent.uri().path_and_query().unwrap(), expected);
        }
    }

    /// A server answers `TRACE` with the request. The caller then read the key of the endpoint.
    #[test]
    fn tunnel_is_not_sent_unless_configured() {
        for (method, upgrade, passes) in [
            ("TRACE", None, false),
            ("CONNECT", None, false),
            ("GET", Some("websocket"), false),
            ("GET", Some("h2c, WebSocket"), false),
            ("GET", Some("h2c"), true),
            ("OPTIONS", None, true),
        ] {
            let request = || {
                let mut request = Request::builder().method(method).uri("/v1/chat");
                if let Some(upgrade) = upgrade {
                    request = request.header(UPGRADE, upgrade);
                }
                request.body(()).unwrap()
            };
            let own = endpoint("http://a.test").api_key(Credential::bearer("own").unwrap());
            let mut sent = request();
            assert_eq!(rewrite(&mut sent, &own, "").is_ok(), passes, "{method}");
            assert_eq!(sent.headers().contains_key(AUTHORIZATION), passes);
            let open = own.dangerous_methods(true);
            assert!(rewrite(&mut request(), &open, "").is_ok(), "{method}");
        }
    }

    /// `tonic` sends `te: trailers` with each request, and a gRPC server may require it.
    #[test]
    fn te_trailers_is_kept() {
        let mut request = Request::post("/chat")
            .header("te", "trailers")
            .body(())
            .unwrap();
        rewrite(&mut request, &endpoint("http://a.test"), "").unwrap();
        assert_eq!(request.headers()[TE], "trailers");
    }

    #[test]
    fn invalid_target_gets_no_credential() {
        let long = format!("http://b.test/{}", "x".repeat(65_500));
        let base = format!("http://a.test/{}", "y".repeat(100));
        for uri in [
            "*",
            &long,
            // Without a slash, the text is a host.
            "models",
            "a.test:443",
            "/../admin",
            "/chat/..",
            "/%2e%2E/admin",
            "/a%2f.%2e%5Cadmin",
            "/v1/../../admin",
        ] {
            let mut request = Request::options(uri).body(()).unwrap();
            let own = endpoint(&base).api_key(Credential::bearer("own").unwrap());
            let refused = rewrite(&mut request, &own, "").is_err();
            assert!(refused && request.headers().is_empty(), "{uri}");
        }
    }

    #[test]
    fn path_with_dots_in_names_is_kept() {
        for path in [
            "/models/gpt-4.1",
            "/a..b/...",
            "/.well-known/%2e",
            "/100%25/.",
        ] {
            let expected = ["http://a.test/v1", path].concat();
            assert_eq!(rewritten(path, "http://a.test/v1", ""), expected);
        }
    }

    proptest! {
        /// A target that stays as it is must equal the one that is built from its parts.
        #[test]
        fn unchanged_target_equals_rebuilt_one(
            uri in "(/|/v1|/api|http://b[.]test)(/[a-z.]{1,4}){0,2}([?][a-z=&;]{0,4}(key|token=1|%6bey)?)?",
            base in "(/v1|/api)?([?]v=1)?",
            root in "(/v1|/api)?",
            keep_key: bool,
        ) {
            let (uri, endpoint) = (uri.parse::<Uri>().unwrap(), endpoint(&format!("http://a.test{base}")));
            let path = strip_root(uri.path(), &root);
            let endpoint = endpoint.pass_credentials(keep_key);
            if let Some(same) = unchanged(&uri, path, &endpoint) {
                let rebuilt = rebuilt(&uri, path, &endpoint).unwrap();
                prop_assert_eq!(same.as_str(), rebuilt.as_str());
            }
        }

        #[test]
        fn any_path_reaches_its_endpoint(path in "(/[a-z0-9%._~-]{0,8}){1,4}", query in "[a-z0-9=&%]{0,12}") {
            let uri = format!("{path}?{query}");
            if uri.parse::<Uri>().is_ok() && !leaves_root(&path) {
                let sent: Uri = rewritten(&uri, "http://a.test:81/base", "/v1").parse().unwrap();
                let authority = sent.authority().map(|authority| authority.as_str());
                prop_assert_eq!(authority, Some("a.test:81"));
                // A path may begin with the request root by chance.
                prop_assert_eq!(sent.path(), ["/base", strip_root(&path, "/v1")].concat());
            }
        }
    }
}
