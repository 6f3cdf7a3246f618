//! Turns the caller's request into one for an endpoint.

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Request, Uri, Version, uri};

use crate::endpoint::{Base, Endpoint};

/// What a caller may prove itself with. It is meant for the caller's own server, and no endpoint
/// gets it unasked.
const CREDENTIALS: [HeaderName; 5] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// What is meant for one connection (RFC 9110, section 7.6.1), or names another server.
const CONNECTION_HEADERS: [HeaderName; 9] = [
    CONNECTION,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Directs `request` to `endpoint`.
///
/// `root` is removed from the start of the path if it is there, and the path of the endpoint put
/// in its place. Query parameters stay, but for `key`, which is a credential.
pub(crate) fn rewrite<B>(request: &mut Request<B>, endpoint: &Endpoint, root: &str) {
    let keep_key = endpoint.pass_credentials;
    if let Some(uri) = target(request.uri(), &endpoint.base, root, keep_key) {
        *request.uri_mut() = uri;
    }
    // An HTTP/2 request of a server would not pass an HTTP/1.1 client; the client sets its own.
    *request.version_mut() = Version::HTTP_11;

    let headers = request.headers_mut();
    remove_connection_headers(headers);
    if !endpoint.pass_credentials {
        for name in &CREDENTIALS {
            headers.remove(name);
        }
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(credential) = &endpoint.credential {
        credential.apply(headers);
    }
}

fn remove_connection_headers(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &CONNECTION_HEADERS {
        headers.remove(name);
    }
}

/// The URI at the endpoint, or nothing for a target such as `*` that has no path.
fn target(uri: &Uri, base: &Base, root: &str, keep_key: bool) -> Option<Uri> {
    let path = strip_root(uri.path(), root);
    if !path.is_empty() && !path.starts_with('/') {
        return None;
    }
    let own = uri.query().map(|query| {
        let wanted = |pair: &&str| keep_key || !is_key(pair);
        query
            .split('&')
            .filter(wanted)
            .collect::<Vec<_>>()
            .join("&")
    });
    let mut text = format!("{}{path}", base.path);
    if text.is_empty() {
        text.push('/');
    }
    let queries = [base.query.as_deref(), own.as_deref()];
    let present = queries
        .into_iter()
        .flatten()
        .filter(|query| !query.is_empty());
    for (n, query) in present.enumerate() {
        text.push(if n == 0 { '?' } else { '&' });
        text.push_str(query);
    }
    let mut parts = uri::Parts::default();
    parts.scheme = Some(base.scheme.clone());
    parts.authority = Some(base.authority.clone());
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// `/v1/models` without `/v1`. A longer segment, as in `/v1beta`, is another path.
fn strip_root<'a>(path: &'a str, root: &str) -> &'a str {
    match path.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

fn is_key(pair: &str) -> bool {
    pair == "key" || pair.starts_with("key=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Credential;
    use proptest::prelude::*;

    fn endpoint(base: &str) -> Endpoint {
        Endpoint::new("a", base).unwrap()
    }

    fn rewritten(uri: &str, base: &str, root: &str) -> String {
        let mut request = Request::get(uri).body(()).unwrap();
        rewrite(&mut request, &endpoint(base), root);
        request.uri().to_string()
    }

    #[test]
    fn keeps_path_and_query_behind_the_base() {
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
                "/chat?monkey=1",
                "http://a.test",
                "",
                "http://a.test/chat?monkey=1",
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
    fn removes_what_is_not_for_this_endpoint() {
        let mut request = Request::post("/chat")
            .version(Version::HTTP_2)
            .header("authorization", "Bearer caller")
            .header("x-api-key", "caller")
            .header("api-key", "caller")
            .header("x-goog-api-key", "caller")
            .header("cookie", "session=caller")
            .header("proxy-authorization", "caller")
            .header("host", "gateway.test")
            .header("connection", "keep-alive, X-Private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        rewrite(&mut request, &endpoint("http://a.test"), "");
        let left: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-type"]);
        assert_eq!(request.version(), Version::HTTP_11);
    }

    #[test]
    fn an_endpoint_gets_its_own_and_the_callers_only_if_it_is_told_to() {
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
        rewrite(&mut sent, &own, "");
        assert_eq!(sent.headers()[AUTHORIZATION], "Bearer own");
        assert_eq!(sent.headers()["x-org"], "7");
        assert!(!sent.headers().contains_key("x-api-key"));

        let mut sent = request();
        rewrite(&mut sent, &own.pass_credentials(true), "");
        assert_eq!(sent.headers()[AUTHORIZATION], "Bearer own");
        assert_eq!(sent.headers()["x-api-key"], "caller");
        assert_eq!(sent.uri().query(), Some("key=1"));
    }

    #[test]
    fn a_target_without_a_path_is_left_alone() {
        assert_eq!(rewritten("*", "http://a.test/v1", "/v1"), "*");
    }

    proptest! {
        #[test]
        fn every_request_reaches_its_endpoint(path in "(/[a-z0-9%._~-]{0,8}){1,4}", query in "[a-z0-9=&%]{0,12}") {
            let uri = format!("{path}?{query}");
            if uri.parse::<Uri>().is_ok() {
                let sent = rewritten(&uri, "http://a.test:81/base", "/v1");
                prop_assert!(sent.starts_with("http://a.test:81/base"), "{sent}");
            }
        }
    }
}
