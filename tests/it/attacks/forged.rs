//! Content that a server forges: headers of the gateway, statuses and upgrades.

use stack_tests::raw::{RawServer, exchange, statuses};

use super::post;
use crate::gateway::{CHAT, Gateway, REQUEST, endpoint_table, in_time};

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
            for request in [chat(), file()] {
                let (answer, _) = answer_to(&request, &forged).await;
                assert!(!answer.contains("forged"), "{status} {name}: {answer}");
            }
        }
    }
}

/// A trailer is a header that follows the body.
#[tokio::test]
async fn trailers_of_gateway_cannot_be_forged() {
    let forged = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-steadfast-endpoint\r\n\r\n\
                  2\r\n{}\r\n0\r\nx-steadfast-endpoint: forged\r\n\r\n";
    for te in ["", "te: trailers\r\n"] {
        let request = file().replace("\r\n\r\n", &format!("\r\n{te}\r\n"));
        let (answer, _) = answer_to(&request, forged).await;
        assert!(
            answer.contains("{}") && !answer.contains("forged"),
            "{answer}"
        );
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
