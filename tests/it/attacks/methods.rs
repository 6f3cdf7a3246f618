//! Methods and upgrades that would carry the key of an endpoint, or a whole connection, elsewhere.

use stack_tests::raw::{Frame, RawServer, exchange, request_http2, statuses};

use super::{COMPLETION, KEY, gateway_with_key};
use crate::gateway::in_time;

/// Requests that no endpoint receives.
const REJECTED: &[&str] = &[
    "TRACE /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "TRACE /v1/models HTTP/1.1\r\nhost: localhost\r\nmax-forwards: 0\r\n\r\n",
    "TRACE * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "TRACK /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n\r\n",
    "CONNECT /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "CONNECT http://localhost/v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n\
     access-control-request-method: POST\r\n\r\n",
    "GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade, x\r\nupgrade: WebSocket\r\n\r\n",
    "PRI /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
];

/// The same over HTTP/2, with `CONNECT` for a protocol (RFC 8441).
const REJECTED_HTTP2: &[&[(&str, &str)]] = &[
    &[
        (":method", "TRACE"),
        (":scheme", "http"),
        (":path", "/v1/models"),
        (":authority", "localhost"),
    ],
    &[
        (":method", "OPTIONS"),
        (":scheme", "http"),
        (":path", "/v1/models"),
        (":authority", "localhost"),
    ],
    &[(":method", "CONNECT"), (":authority", "localhost:443")],
    &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/v1/realtime"),
        (":authority", "localhost"),
    ],
];

#[tokio::test]
async fn dangerous_method_or_upgrade_reaches_no_endpoint() {
    let server = RawServer::keeping(COMPLETION).await;
    let gateway = gateway_with_key(&server.url()).await;
    for request in REJECTED {
        let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
        let found = statuses(&answers);
        let is_preflight = request.starts_with("OPTIONS");
        let rejected = found
            .first()
            .is_some_and(|it| (400..600).contains(it) || is_preflight);
        assert!(rejected, "{request:?}: {found:?}");
        let answers = String::from_utf8_lossy(&answers);
        assert!(!answers.contains(KEY), "{request:?}: {answers}");
        let allows = answers.to_lowercase().contains("access-control-allow-");
        assert!(!allows, "{request:?}: {answers}");
        assert_eq!(server.requests(), [""; 0], "{request:?}");
    }
}

#[tokio::test]
async fn dangerous_http2_method_reaches_no_endpoint() {
    let server = RawServer::keeping(COMPLETION).await;
    let gateway = gateway_with_key(&server.url()).await;
    for fields in REJECTED_HTTP2 {
        let answer = in_time(request_http2(gateway.addr, fields, None)).await;
        let ended = answer
            .iter()
            .any(|it| it.stream == 1 || it.kind == Frame::GOAWAY);
        assert!(ended, "{fields:?}: {answer:?}");
        assert_eq!(server.requests(), [""; 0], "{fields:?}");
    }
}

/// An endpoint that repeats the request (`TRACE`, debug routes) may return its own key. The gateway
/// does not search answers, so it sends no request that has this purpose.
#[tokio::test]
async fn ordinary_methods_pass() {
    let server = RawServer::keeping(COMPLETION).await;
    let gateway = gateway_with_key(&server.url()).await;
    for (n, method) in ["GET", "POST", "PUT", "PATCH", "DELETE"]
        .into_iter()
        .enumerate()
    {
        let request =
            format!("{method} /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
        assert_eq!(statuses(&answers).first(), Some(&200), "{method}");
        assert_eq!(server.requests().len(), n + 1, "{method}");
    }
}
