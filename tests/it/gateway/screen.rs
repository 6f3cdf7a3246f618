//! Requests that the gateway itself answers or rejects: methods, hosts and origins.

use http::{Method, Request, StatusCode};
use steadfast_testkit::{Reply, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{
    CHAT, Gateway, REQUEST, body_of, endpoint_table, header, http2_connection, in_time, json,
};

const FOREIGN: StatusCode = StatusCode::FORBIDDEN;

/// Sends a request with these headers, which replace the host of the client.
async fn status(gateway: &Gateway, method: &str, path: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
    let length = REQUEST.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{REQUEST}"
    );
    in_time(socket.write_all(request.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    in_time(socket.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer)[9..12].to_owned()
}

/// A page that rebinds its own name to this address sends its name.
#[tokio::test]
async fn foreign_host_is_rejected_on_loopback() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for (headers, path, expected) in [
        ("host: localhost\r\n", CHAT, "200"),
        ("host: LocalHost:80\r\n", CHAT, "200"),
        ("host: 127.0.0.1:80\r\n", CHAT, "200"),
        ("host: 127.8.8.8\r\n", CHAT, "200"),
        ("host: [::1]:80\r\n", CHAT, "200"),
        ("host: attacker.test\r\n", CHAT, "403"),
        ("host: localhost.attacker.test\r\n", CHAT, "403"),
        ("host: 127.0.0.1.attacker.test\r\n", CHAT, "403"),
        ("host: 10.0.0.1\r\n", CHAT, "403"),
        ("host: localhost@attacker.test\r\n", CHAT, "403"),
        ("host: attacker.test@localhost\r\n", CHAT, "403"),
        ("host: localhost.\r\n", CHAT, "403"),
        ("host: \r\n", CHAT, "403"),
        ("", CHAT, "403"),
        ("host: localhost\r\nhost: attacker.test\r\n", CHAT, "403"),
        (
            "host: localhost\r\n",
            "http://attacker.test/v1/chat/completions",
            "403",
        ),
    ] {
        assert_eq!(
            status(&gateway, "POST", path, headers).await,
            expected,
            "{headers:?}"
        );
    }
    assert_eq!(upstream.counts().requests, 5);
}

/// A page sends such a request without a preflight, and spends the keys of the endpoints.
#[tokio::test]
async fn request_of_foreign_page_is_rejected_on_loopback() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let own = format!("http://{}", gateway.addr);
    let other_port = "http://127.0.0.1:1".to_owned();
    for (name, value, expected) in [
        ("origin", own.clone(), 200),
        ("origin", "https://attacker.test".to_owned(), 403),
        ("origin", other_port, 403),
        ("origin", own.replace("http:", "https:"), 403),
        ("origin", format!("{own}.attacker.test"), 403),
        ("origin", "null".to_owned(), 403),
        ("origin", String::new(), 403),
        ("sec-fetch-site", "cross-site".to_owned(), 403),
        ("sec-fetch-site", "same-site".to_owned(), 403),
        ("sec-fetch-site", "same-origin".to_owned(), 200),
        ("sec-fetch-site", "none".to_owned(), 200),
        ("x-request-id", "1".to_owned(), 200),
    ] {
        let request = Request::post(gateway.url(CHAT))
            .header("content-type", "text/plain")
            .header(name, &value);
        let answer = gateway.send(request.body(body_of(REQUEST)).unwrap()).await;
        assert_eq!(answer.status(), expected, "{name}: {value}");
        let permitted = answer.headers().get("access-control-allow-origin");
        assert_eq!(permitted, None);
    }
    assert_eq!(upstream.counts().requests, 4);
    let request = Request::get(format!("http://{}/status", gateway.admin));
    let request = request.header("origin", "https://attacker.test");
    let answer = gateway.send(request.body(body_of("")).unwrap()).await;
    assert_eq!(answer.status(), FOREIGN);
}

#[tokio::test]
async fn configured_hosts_and_origins_are_permitted() {
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    let settings = "hosts = ['Gateway.test']\norigins = ['https://app.test']\n";
    let gateway = Gateway::with(settings, &endpoint).await;
    for (headers, expected) in [
        ("host: gateway.test:8080\r\n", "200"),
        ("host: localhost\r\n", "200"),
        ("host: other.test\r\n", "403"),
        ("host: localhost\r\norigin: https://app.test\r\n", "200"),
        ("host: localhost\r\norigin: https://APP.test\r\n", "200"),
        ("host: localhost\r\norigin: http://app.test\r\n", "403"),
        (
            "host: localhost\r\norigin: https://app.test\r\norigin: https://x.test\r\n",
            "403",
        ),
    ] {
        let found = status(&gateway, "POST", CHAT, headers).await;
        assert_eq!(found, expected, "{headers:?}");
    }
    // The browser of a permitted page asks first, and the endpoint is not asked.
    let sent = upstream.counts().requests;
    for (origin, permitted) in [
        ("https://app.test", Some("https://app.test")),
        ("https://x.test", None),
    ] {
        let request = Request::options(gateway.url(CHAT))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let answer = gateway.send(request.body(body_of("")).unwrap()).await;
        let found = answer.headers().get("access-control-allow-origin");
        assert_eq!(found.map(|it| it.to_str().unwrap()), permitted);
    }
    assert_eq!(upstream.counts().requests, sent);

    let any = Gateway::with("hosts = ['*']\norigins = ['*']\n", &endpoint).await;
    let headers = "host: x.test\r\norigin: https://x.test\r\n";
    assert_eq!(status(&any, "POST", CHAT, headers).await, "200");
}

/// The configuration decides about the pages that read answers, and not the endpoint.
#[tokio::test]
async fn page_reads_answer_only_if_its_origin_is_listed() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(
        Reply::ok()
            .header("access-control-allow-origin", "https://endpoint.test")
            .header("access-control-allow-credentials", "true")
            .header("access-control-expose-headers", "x-endpoint"),
    );
    let endpoint = endpoint_table("a", &upstream.url());
    for (settings, origin, permitted) in [
        ("", None, None),
        (
            "origins = ['https://app.test']",
            Some("https://app.test"),
            Some("https://app.test"),
        ),
        ("origins = ['https://app.test']", None, None),
        ("origins = ['*']", Some("https://x.test"), Some("*")),
    ] {
        let gateway = Gateway::with(&format!("{settings}\n"), &endpoint).await;
        for method in [Method::POST, Method::OPTIONS] {
            let mut request = Request::builder().method(&method).uri(gateway.url(CHAT));
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let request = request.header("access-control-request-method", "POST");
            let answer = gateway.send(request.body(body_of(REQUEST)).unwrap()).await;
            let found = |name| answer.headers().get(name).map(|it| it.to_str().unwrap());
            assert_eq!(
                found("access-control-allow-origin"),
                permitted,
                "{settings} {method}"
            );
            assert_eq!(found("access-control-allow-credentials"), None);
            let exposed = found("access-control-expose-headers");
            assert_ne!(exposed, Some("x-endpoint"));
            let reads = permitted.is_some() && method == Method::POST;
            assert!(!reads || exposed == Some("*"), "{settings}: {exposed:?}");
        }
    }
}

/// `TRACE` returns the key of the endpoint, and an upgrade would become another request.
#[tokio::test]
async fn dangerous_methods_and_upgrades_reach_no_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for (method, path, headers, expected) in [
        ("TRACE", CHAT, "", "405"),
        ("OPTIONS", CHAT, "", "204"),
        ("OPTIONS", "*", "", "404"),
        ("CONNECT", "localhost:443", "", "404"),
        (
            "GET",
            CHAT,
            "connection: upgrade\r\nupgrade: websocket\r\n",
            "501",
        ),
        ("POST", CHAT, "upgrade: TLS/1.3\r\n", "501"),
    ] {
        let headers = format!("host: localhost\r\n{headers}");
        let found = status(&gateway, method, path, &headers).await;
        assert_eq!(found, expected, "{method} {path} {headers}");
    }
    assert_eq!(upstream.counts().requests, 0);
    // The client of Java offers HTTP/2 with each request. A server may ignore the offer.
    let offer = "host: localhost\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n";
    assert_eq!(status(&gateway, "POST", CHAT, offer).await, "200");
    assert_eq!(upstream.log()[0].header("upgrade"), None);
}

#[tokio::test]
async fn connect_over_http2_reaches_no_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let (mut sender, _connection) = http2_connection(&gateway).await;
    for (method, uri) in [
        (Method::CONNECT, "localhost:443".to_owned()),
        (Method::TRACE, gateway.url(CHAT)),
    ] {
        let request = Request::builder().method(method).uri(uri);
        let answer = sender.send_request(request.body(body_of("")).unwrap());
        let answer = in_time(answer).await.unwrap();
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    assert_eq!(upstream.counts().requests, 0);
}

#[tokio::test]
async fn operators_routes_are_not_on_the_open_port() {
    let upstream = Upstream::start().await.unwrap();
    let url = format!("{}?key=base-secret", upstream.url());
    let gateway = Gateway::start(&endpoint_table("a", &url)).await;
    for path in ["/status", "/metrics"] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
    let shown = json(gateway.admin("/status").await).await.to_string();
    assert!(shown.contains(&upstream.addr().to_string()), "{shown}");
    assert!(!shown.contains("base-secret"), "{shown}");
    let answer = gateway.admin("/metrics").await;
    assert!(header(&answer, "content-type").starts_with("text/plain"));
    assert_eq!(gateway.admin("/v1/models").await.status(), 404);
}
