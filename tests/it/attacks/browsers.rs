//! Requests of a web page to the gateway on loopback: cross-site requests and DNS rebinding.

use stack_tests::raw::{Frame, RawServer, exchange, request_http2, statuses};

use super::{COMPLETION, gateway_with_key};
use crate::gateway::{CHAT, REQUEST, in_time};

/// Heads without framing, that no endpoint receives. `{port}` stands for the port of the gateway.
const FOREIGN: &[&str] = &[
    "host: evil.example",
    "host: evil.example:{port}",
    "host: localhost.evil.example:{port}",
    "host: evil.example#localhost",
    "host: 127.0.0.1.evil.example",
    "host: evil.example@localhost",
    "host: localhost@evil.example",
    "host: 1.2.3.4:{port}",
    "host: [2001:db8::1]:{port}",
    "host: 0.0.0.0.evil:{port}",
    "host: localhost.",
    "host: foo.localhost",
    "host: 127.1",
    "host: 2130706433",
    "host: 0x7f.0.0.1",
    "host: 0.0.0.0",
    "host: [::]",
    "host: [::ffff:10.0.0.1]",
    "host: [::1]evil.example",
    "host: localhost:evil.example",
    "host: 127.0.0.1:80:evil.example",
    "host: localhost, evil.example",
    "host: ",
    "x-forwarded-host: localhost",
    "host: localhost\r\nhost: evil.example",
    "host: evil.example\r\nhost: localhost",
    "host: localhost\r\norigin: https://evil.example",
    "host: localhost\r\norigin: http://evil.example:{port}",
    "host: localhost\r\norigin: null",
    "host: localhost\r\norigin: http://localhost.evil.example",
    "host: localhost\r\norigin: http://localhost@evil.example",
    "host: localhost\r\norigin: file://",
    "host: localhost\r\norigin: ",
    "host: localhost\r\norigin: http://localhost\r\norigin: https://evil.example",
    "host: localhost\r\norigin: https://evil.example\r\ncontent-type: text/plain",
    "host: localhost\r\nsec-fetch-site: cross-site\r\ncontent-type: text/plain",
    "host: localhost\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors",
];

/// Heads that pass.
const OWN: &[&str] = &[
    "host: localhost",
    "host: LOCALHOST:{port}",
    "host: localhost:{port}",
    "host: 127.0.0.1:{port}",
    "host: [::1]:{port}",
    "host: [::ffff:127.0.0.1]:{port}",
    "host: [::ffff:7f00:1]:{port}",
    "host: localhost:{port}\r\norigin: http://localhost:{port}",
    "host: 127.0.0.1:{port}\r\norigin: http://127.0.0.1:{port}",
    "host: localhost:{port}\r\nsec-fetch-site: same-origin\r\norigin: http://localhost:{port}",
    "host: localhost:{port}\r\nsec-fetch-site: none",
];

#[tokio::test]
async fn request_of_foreign_page_reaches_no_endpoint() {
    let server = RawServer::keeping(COMPLETION).await;
    let gateway = gateway_with_key(&server.url()).await;
    let port = gateway.addr.port().to_string();
    let request = |line: &str, head: &str| {
        let head = head.replace("{port}", &port);
        let size = REQUEST.len();
        format!("{line} HTTP/1.1\r\n{head}\r\ncontent-length: {size}\r\n\r\n{REQUEST}")
    };
    let post = format!("POST {CHAT}");
    let foreign = FOREIGN
        .iter()
        .flat_map(|head| [request(&post, head), request("GET /v1/models", head)]);
    let absolute = [
        "http://evil.example/v1/models",
        "http://localhost@evil.example/v1/models",
    ];
    let absolute = absolute.map(|target| request(&format!("GET {target}"), "host: localhost"));
    let no_host = "GET /v1/models HTTP/1.0\r\n\r\n".to_owned();
    for request in foreign.chain(absolute).chain([no_host]) {
        let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
        let found = statuses(&answers);
        assert!((400..500).contains(&found[0]), "{request:?}: {found:?}");
        assert!(server.requests().is_empty(), "{request:?}");
        let answers = String::from_utf8_lossy(&answers).to_lowercase();
        assert!(!answers.contains("access-control-allow"), "{request:?}");
    }
    for (n, head) in OWN.iter().enumerate() {
        let request = request(&post, head);
        let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
        assert_eq!(statuses(&answers)[0], 200, "{request:?}");
        assert_eq!(server.requests().len(), n + 1, "{request:?}");
    }
}

/// Browsers use HTTP/2 only with TLS. A page behind a proxy with TLS can still send such requests.
#[tokio::test]
async fn http2_request_for_foreign_host_reaches_no_endpoint() {
    let server = RawServer::keeping(COMPLETION).await;
    let gateway = gateway_with_key(&server.url()).await;
    for (authority, host) in [
        ("evil.example", None),
        ("evil.example:80", Some("localhost")),
        ("localhost@evil.example", None),
        ("localhost", Some("evil.example")),
        ("", Some("evil.example")),
        ("", None),
    ] {
        let mut fields = vec![
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/v1/models"),
            (":authority", authority),
        ];
        fields.extend(host.map(|host| ("host", host)));
        fields.retain(|(_, value)| !value.is_empty());
        let answer = in_time(request_http2(gateway.addr, &fields, None)).await;
        let ended = answer
            .iter()
            .any(|it| it.stream == 1 || it.kind == Frame::GOAWAY);
        assert!(ended, "{fields:?}: {answer:?}");
        assert!(server.requests().is_empty(), "{fields:?}");
    }
}
