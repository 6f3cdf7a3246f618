//! HTTP/2 requests that would be two requests, or another request, in HTTP/1.

use stack_tests::raw::request_http2;
use steadfast_testkit::Upstream;

use crate::gateway::{CHAT, Gateway, in_time};

type Fields = &'static [(&'static str, &'static str)];

const METHOD: (&str, &str) = (":method", "POST");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", CHAT);
const AUTHORITY: (&str, &str) = (":authority", "localhost");

/// Requests that reach no endpoint.
const MALFORMED: &[Fields] = &[
    // Line ends in a name or a value.
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\r\nhidden: 1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\nhidden: 1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\0")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x\r\nhidden", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x: hidden", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("", "1")],
    &[
        METHOD,
        SCHEME,
        (":path", "/v1/models HTTP/1.1\r\nhidden: 1\r\nx:"),
        AUTHORITY,
    ],
    &[METHOD, SCHEME, (":path", "/v1/a hidden"), AUTHORITY],
    &[
        METHOD,
        SCHEME,
        PATH,
        (":authority", "localhost\r\nhidden: 1"),
    ],
    &[
        (":method", "GET /hidden HTTP/1.1\r\nx: 1\r\n\r\nGET"),
        SCHEME,
        PATH,
        AUTHORITY,
    ],
    // Pseudo headers that are missing, repeated, late or unknown.
    &[SCHEME, PATH, AUTHORITY],
    &[METHOD, METHOD, SCHEME, PATH, AUTHORITY],
    &[METHOD, SCHEME, PATH, (":path", "/v1/hidden"), AUTHORITY],
    &[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY],
    &[METHOD, SCHEME, (":path", ""), AUTHORITY],
    &[METHOD, SCHEME, AUTHORITY],
    &[
        METHOD,
        SCHEME,
        PATH,
        AUTHORITY,
        ("x", "1"),
        (":path", "/v1/hidden"),
    ],
    &[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")],
    &[METHOD, SCHEME, PATH, AUTHORITY, (":hidden", "1")],
    // Headers of an HTTP/1 connection.
    &[METHOD, SCHEME, PATH, AUTHORITY, ("connection", "x")],
    &[
        METHOD,
        SCHEME,
        PATH,
        AUTHORITY,
        ("transfer-encoding", "chunked"),
    ],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("keep-alive", "timeout=5")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("proxy-connection", "x")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("upgrade", "h2c")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("te", "chunked")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("X-Upper", "1")],
    // A length that differs from the body, which is `{}`.
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "3")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "x")],
    &[
        METHOD,
        SCHEME,
        PATH,
        AUTHORITY,
        ("content-length", "2"),
        ("content-length", "3"),
    ],
];

#[tokio::test]
async fn malformed_http2_request_reaches_no_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let valid = &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "2")];
    in_time(request_http2(gateway.addr, valid, Some(b"{}"))).await;
    assert_eq!(upstream.counts().requests, 1, "a valid request arrives");
    upstream.clear_log();
    for fields in MALFORMED {
        in_time(request_http2(gateway.addr, fields, Some(b"{}"))).await;
        assert!(
            upstream.log().is_empty(),
            "{fields:?}: {:?}",
            upstream.log()
        );
    }
}
