//! Content that a server forges: headers of the gateway, statuses and upgrades.

use futures_util::future::join_all;
use http::{Request, Version};
use http_body_util::BodyExt;
use stack_tests::raw::{RawServer, exchange, statuses};

use super::post;
use crate::gateway::{CHAT, Gateway, REQUEST, body_of, endpoint_table, in_time, new_client, text};

const BODY: &str = r#"{"choices":[]}"#;

/// Sends a request to a gateway over a server with this answer. Returns the answer of the gateway.
async fn answer_to(request: &str, answer: &str) -> (String, usize) {
    let server = RawServer::answering(answer.to_owned()).await;
    let gateway = Gateway::start(&endpoint_table("forger", &server.url())).await;
    let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
    (
        String::from_utf8_lossy(&answers).into_owned(),
        server.requests().len(),
    )
}

fn chat() -> String {
    format!(
        "{}content-length: {}\r\n\r\n{REQUEST}",
        post(CHAT),
        REQUEST.len()
    )
}

fn file() -> String {
    "GET /v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned()
}

fn with_body(head: &str) -> String {
    format!(
        "HTTP/1.1 {head}content-length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

#[tokio::test]
async fn headers_of_gateway_cannot_be_forged() {
    let mut cases = Vec::new();
    for status in [200, 302, 400, 429, 500] {
        for name in [
            "x-steadfast-attempts",
            "X-Steadfast-Endpoint",
            "x-steadfast-x",
            "X-STEADFAST-",
        ] {
            let forged = with_body(&format!(
                "{status} x\r\n{name}: forged\r\n{name}: forged\r\n"
            ));
            cases.extend([chat(), file()].map(|request| (request, forged.clone())));
        }
    }
    // The gateway waits before it repeats a request.
    let answers = (cases.iter()).map(|(request, forged)| answer_to(request, forged));
    for ((answer, _), (_, forged)) in join_all(answers).await.into_iter().zip(&cases) {
        assert!(!answer.contains("forged"), "{forged}: {answer}");
    }
}

/// Orders to a browser about all pages of the gateway, or to a proxy in front of it.
const ORDERS: &[&str] = &[
    "set-cookie: session=forged; path=/",
    "Set-Cookie2: forged",
    "clear-site-data: \"forged\"",
    "refresh: 0; url=http://forged.example",
    "alt-svc: h3=\"forged.example:443\"",
    "strict-transport-security: max-age=1; forged",
    "public-key-pins: forged",
    "service-worker-allowed: /forged",
    "nel: forged",
    "report-to: forged",
    "reporting-endpoints: forged",
    "access-control-allow-origin: http://forged.example",
    "access-control-allow-credentials: forged",
    "access-control-allow-private-network: forged",
    "access-control-max-age: 86400, forged",
    "content-security-policy: forged",
    "x-accel-redirect: /forged",
    "x-accel-expires: forged",
    "x-sendfile: /forged",
    "x-lighttpd-send-file: /forged",
    "x-reproxy-url: http://forged.example",
    "proxy-authenticate: Basic realm=forged",
];

#[tokio::test]
async fn order_of_server_to_browser_or_proxy_is_removed() {
    let all = ORDERS.join("\r\n") + "\r\nx-accel-buffering: no\r\nx-request-id: 7\r\n";
    for answer in [
        with_body(&format!("200 OK\r\n{all}")),
        with_body(&format!("404 x\r\n{all}")),
    ] {
        for request in [chat(), file()] {
            let (received, _) = answer_to(&request, &answer).await;
            assert!(!received.contains("forged"), "{received}");
            let sandbox = "\r\ncontent-security-policy: sandbox\r\n";
            assert_eq!(received.matches(sandbox).count(), 1, "{received}");
            let buffering = received.contains("\r\nx-accel-buffering: no\r\n");
            assert!(buffering, "{received}");
        }
    }
}

/// The chunks have precedence. With the length, the answer to HTTP/1.1 was cut, and the one to
/// HTTP/2 was an error.
#[tokio::test]
async fn answer_with_two_lengths_has_one() {
    for length in ["1", "5", "500"] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\n{{}}\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhidden"
        );
        let server = RawServer::answering(answer).await;
        let gateway = Gateway::start(&endpoint_table("forger", &server.url())).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let request = Request::get(gateway.url("/v1/files/f/content")).body(body_of(""));
            let answer = new_client(version).request(request.unwrap());
            let answer = in_time(answer).await.unwrap();
            assert!(!answer.headers().contains_key("content-length"));
            assert_eq!(text(answer).await, "{}", "{version:?} {length}");
        }
    }
}

/// A trailer is a header that follows the body. HTTP/2 carries each of them, and the one of a
/// length would break the answer.
#[tokio::test]
async fn trailer_of_server_is_no_header_of_gateway() {
    let orders = ORDERS.join("\r\n");
    let forged = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\
         x-steadfast-endpoint: forged\r\ncontent-length: 500\r\nconnection: x-private\r\n\
         x-private: forged\r\n{orders}\r\nx-checksum: 7\r\n\r\n"
    );
    let server = RawServer::answering(forged).await;
    let gateway = Gateway::start(&endpoint_table("forger", &server.url())).await;
    let request = Request::get(gateway.url("/v1/files/f/content")).body(body_of(""));
    let answer = new_client(Version::HTTP_2).request(request.unwrap());
    let body = in_time(answer).await.unwrap().into_body();
    let body = in_time(body.collect()).await.unwrap();
    let mut trailers = body.trailers().expect("trailers").clone();
    assert_eq!(trailers.remove("x-checksum").unwrap(), "7");
    assert!(trailers.is_empty(), "{trailers:?}");
    assert_eq!(body.to_bytes(), "{}");

    for te in ["", "te: trailers\r\n"] {
        let request = file().replace("\r\n\r\n", &format!("\r\n{te}\r\n"));
        let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
        let answers = String::from_utf8_lossy(&answers);
        let is_clean = answers.contains("{}") && !answers.contains("forged");
        assert!(is_clean, "{answers}");
    }
}

/// The caller must not take such a status for a success.
#[tokio::test]
async fn absurd_status_is_an_error() {
    for status in ["600", "700", "999"] {
        for request in [chat(), file()] {
            let (answer, _) = answer_to(&request, &with_body(&format!("{status} x\r\n"))).await;
            let found = statuses(answer.as_bytes());
            assert!(found[0] >= 500, "{status}: {answer}");
        }
    }
}

/// The client asked for no protocol, so the bytes after the head belong to none.
#[tokio::test]
async fn unrequested_upgrade_is_an_error() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    for tail in ["", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"] {
        for request in [chat(), file()] {
            let (answer, _) = answer_to(&request, &format!("{switched}{tail}")).await;
            let found = statuses(answer.as_bytes());
            assert!(found[0] >= 500, "{answer}");
            assert!(!answer.contains("forged"), "{answer}");
        }
    }
}

/// A redirect of an API would send the key elsewhere, so it is not followed.
#[tokio::test]
async fn redirect_is_not_followed() {
    let other = RawServer::answering(with_body("200 OK\r\n")).await;
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let redirect = with_body(&format!("{status} x\r\nlocation: {}/x\r\n", other.url()));
        let (answer, _) = answer_to(&chat(), &redirect).await;
        let found = statuses(answer.as_bytes());
        assert!(found[0] >= 300, "{status}: {answer}");
        let (answer, attempts) = answer_to(&file(), &redirect).await;
        assert_eq!(statuses(answer.as_bytes())[0], status, "{answer}");
        assert_eq!(attempts, 1, "{status}: a redirect is an answer");
    }
    assert!(other.requests().is_empty());
}

/// For a known operation, a redirect is no success: the next endpoint answers.
#[tokio::test]
async fn redirect_of_known_operation_fails_over() {
    let good = RawServer::answering(with_body("200 OK\r\n")).await;
    for status in [301, 302, 307, 308] {
        let redirect = with_body(&format!("{status} x\r\nlocation: /elsewhere\r\n"));
        let server = RawServer::answering(redirect).await;
        let tables =
            endpoint_table("redirecting", &server.url()) + &endpoint_table("good", &good.url());
        let gateway = Gateway::start(&tables).await;
        let answers = in_time(exchange(gateway.addr, chat().as_bytes())).await;
        assert_eq!(statuses(&answers)[0], 200, "{status}");
        assert!(gateway.stack.status()[0].health < 1.0, "{status}");
    }
}
