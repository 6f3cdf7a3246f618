//! Requests with two possible ends. The gateway takes one of them, and the endpoint never gets two
//! requests from one.

use stack_tests::raw::{exchange, statuses};
use steadfast_testkit::Upstream;

use super::post;
use crate::gateway::{CHAT, Gateway, endpoint_table, in_time};

/// A request that must not arrive, hidden in the body of another one or behind it.
const HIDDEN: &str = "GET /v1/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// An empty body in chunks. A second length is ignored, and the connection ends.
const TWO_LENGTHS: &[&str] = &[
    "content-length: 6\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
    "transfer-encoding: chunked\r\ncontent-length: x\r\n",
];

/// Framing headers that the gateway rejects.
const AMBIGUOUS: &[&str] = &[
    "content-length: 0\r\ntransfer-encoding: identity\r\n",
    "content-length: 0\r\ncontent-length: 46\r\n",
    "content-length: 46\r\ncontent-length: 0\r\n",
    "content-length: 0, 46\r\n",
    "content-length: 0, 0\r\n",
    "content-length: +46\r\n",
    "content-length: -1\r\n",
    "content-length: 0x2e\r\n",
    "content-length: 4 6\r\n",
    "content-length: 46.0\r\n",
    "content-length: \r\n",
    "content-length: 18446744073709551616\r\n",
    "content-length: 18446744073709551615\r\n",
    "content-length : 46\r\n",
    "content-length\t: 46\r\n",
    " content-length: 46\r\n",
    "content-length:\r\n 46\r\n",
    "x: 1\r\n content-length: 46\r\n",
    "x: 1\r\n\tcontent-length: 46\r\n",
    "x: 1\rcontent-length: 46\r\n",
    "x: 1\0\r\ncontent-length: 0\r\n",
    "content-length\0: 46\r\n",
    "content-length: 0\0\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "transfer-encoding: chunked;q=1\r\n",
    "transfer-encoding: \"chunked\"\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    "transfer-encoding : chunked\r\n",
    "transfer-encoding: \x0bchunked\r\n",
    "transfer-encoding:\r\n chunked\r\n",
    "transfer-encoding: identity, chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding: chunked, chunked\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: ,chunked\r\n",
];

/// Chunked bodies, and the body that the endpoint receives.
const CHUNKS: &[(&str, &str)] = &[
    ("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc"),
    ("2;x=1\r\nab\r\n0\r\n\r\n", "ab"),
    ("0002\r\nab\r\n0\r\n\r\n", "ab"),
    ("2\r\nab\r\n0\r\ncontent-length: 46\r\n\r\n", "ab"),
    ("2\r\nab\r\n0\r\ntransfer-encoding: chunked\r\n\r\n", "ab"),
];

/// Chunked bodies that the gateway rejects.
const INVALID_CHUNKS: &[&str] = &[
    "2;x\nab\r\n0\r\n\r\n",
    "2\nab\r\n0\r\n\r\n",
    "2\rab\r\n0\r\n\r\n",
    "2\r\nabc\r\n0\r\n\r\n",
    "2\r\nab\n0\r\n\r\n",
    "2\r\nab0\r\n\r\n",
    "-2\r\nab\r\n0\r\n\r\n",
    "+2\r\nab\r\n0\r\n\r\n",
    "0x2\r\nab\r\n0\r\n\r\n",
    "2_\r\nab\r\n0\r\n\r\n",
    "\r\nab\r\n0\r\n\r\n",
    "g\r\nab\r\n0\r\n\r\n",
    "10000000000000002\r\nab\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nab\r\n0\r\n\r\n",
];

/// Sends a request, and returns the statuses of all answers.
async fn attack(gateway: &Gateway, request: &str) -> Vec<u16> {
    let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
    statuses(&answers)
}

/// Asserts that the gateway rejects a request, with `HIDDEN` behind it.
async fn expect_rejected(upstream: &Upstream, gateway: &Gateway, request: &str) {
    let found = attack(gateway, &format!("{request}{HIDDEN}")).await;
    assert_eq!(
        found.len(),
        1,
        "the connection ends: {request:?}: {found:?}"
    );
    assert!((400..=501).contains(&found[0]), "{request:?}: {found:?}");
    assert!(
        upstream.log().is_empty(),
        "{request:?}: {:?}",
        upstream.log()
    );
}

/// Asserts that the endpoint receives one request with this body and one length.
async fn expect_body(upstream: &Upstream, gateway: &Gateway, request: &str, body: &str) {
    let found = attack(gateway, request).await;
    assert!(found.contains(&200), "{request:?}: {found:?}");
    let log = upstream.log();
    assert_eq!(log.len(), 1, "{request:?}: {log:?}");
    let received = &log[0];
    assert_eq!(received.body, body.as_bytes(), "{request:?}");
    assert_eq!(received.path(), CHAT, "{request:?}");
    let lengths = received.headers.get_all("content-length").iter().count();
    assert!(lengths <= 1, "{request:?}: {received:?}");
    for name in ["transfer-encoding", "te", "trailer"] {
        assert_eq!(received.header(name), None, "{request:?}");
    }
    upstream.clear_log();
}

#[tokio::test]
async fn body_with_ambiguous_length_hides_no_request() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for headers in TWO_LENGTHS {
        let request = format!("{}{headers}\r\n0\r\n\r\n{HIDDEN}", post(CHAT));
        expect_body(&upstream, &gateway, &request, "").await;
    }
    for headers in AMBIGUOUS {
        let request = format!("{}{headers}\r\n0\r\n\r\n", post(CHAT));
        expect_rejected(&upstream, &gateway, &request).await;
    }
}

#[tokio::test]
async fn invalid_chunk_hides_no_request() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", post(CHAT));
    for (chunks, body) in CHUNKS {
        expect_body(&upstream, &gateway, &format!("{head}{chunks}"), body).await;
    }
    for chunks in INVALID_CHUNKS {
        expect_rejected(&upstream, &gateway, &format!("{head}{chunks}")).await;
    }
}

/// The hidden request is a whole body for the gateway, and must be one for the endpoint.
#[tokio::test]
async fn request_inside_body_stays_a_body() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let size = HIDDEN.len();
    for framed in [
        format!("content-length: {size}\r\n\r\n{HIDDEN}"),
        format!("content-length: {size}\r\ncontent-length: {size}\r\n\r\n{HIDDEN}"),
        format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("connection: content-length\r\ncontent-length: {size}\r\n\r\n{HIDDEN}"),
        format!("expect: 100-continue\r\ncontent-length: {size}\r\n\r\n{HIDDEN}"),
        format!("x-http-method-override: GET\r\ncontent-length: {size}\r\n\r\n{HIDDEN}"),
    ] {
        // A bare LF may end a line (RFC 9112, section 2.2), and the endpoint gets a CRLF.
        for lines in ["\r\n", "\n"] {
            let (head, body) = framed.split_once("\r\n\r\n").unwrap();
            let head = format!("{}{head}\r\n\r\n", post(CHAT)).replace("\r\n", lines);
            expect_body(&upstream, &gateway, &(head + body), HIDDEN).await;
        }
    }
}

/// The endpoint is chosen by the configuration, and the path stays below its base.
#[tokio::test]
async fn request_target_selects_no_other_host_or_path() {
    let [upstream, other] = stack_tests::upstreams(["upstream", "other"]).await;
    let gateway = Gateway::start(&endpoint_table("upstream", &upstream.url())).await;
    let foreign = other.addr();
    for target in [
        format!("http://{foreign}/v1/models"),
        format!("http://localhost@{foreign}/v1/models"),
        format!("//{foreign}/v1/models"),
        format!("/v1/models@{foreign}"),
        "/v1/../models".to_owned(),
        "/v1/%2e%2e/models".to_owned(),
        "/v1/..%2fmodels".to_owned(),
        "/v1/..%5cmodels".to_owned(),
        "/v1/..;/models".to_owned(),
        "/v1/%252e%252e/models".to_owned(),
        "/v1/models HTTP/1.1\r\nx: 1".to_owned(),
        "/v1/models%0d%0ahost:%20x".to_owned(),
        "/v1/models%00".to_owned(),
        "/v1/models#x".to_owned(),
        "*".to_owned(),
        String::new(),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        attack(&gateway, &request).await;
        for received in upstream.log() {
            let path = received.path();
            assert!(path.starts_with("/v1/"), "{target:?}: {path}");
            let decoded = path.to_lowercase().replace("%2e", ".").replace("%2f", "/");
            assert!(!decoded.contains("/../"), "{target:?}: {path}");
            let host = received.header("host").map(str::to_owned);
            assert_eq!(host, Some(upstream.addr().to_string()), "{target:?}");
        }
        upstream.clear_log();
    }
    assert_eq!(other.counts().connections, 0);
}
