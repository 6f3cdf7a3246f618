//! Answers of the gateway itself, in the error format of OpenAI.

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The delay after which a rejected client may repeat its request.
const RETRY: HeaderValue = HeaderValue::from_static("1");
/// The connections that are turned away at a time. Further ones are closed without an answer.
static TURNED_AWAY: Semaphore = Semaphore::const_new(256);
/// The time to read the request of a client that is turned away. A socket that is closed with
/// unread data loses the answer.
const LINGER: Duration = Duration::from_millis(500);

/// An error of this server.
pub(crate) fn reject(status: StatusCode, message: &str, code: &str) -> Response {
    (status, Json(error(message, code))).into_response()
}

/// A bound is reached. The request was not processed.
pub(crate) fn unavailable(message: &str, code: &str) -> Response {
    let mut answer = reject(StatusCode::SERVICE_UNAVAILABLE, message, code);
    answer.headers_mut().insert(RETRY_AFTER, RETRY);
    answer
}

fn error(message: &str, code: &str) -> Value {
    json!({
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": null,
            "code": code,
        }
    })
}

/// Answers a connection beyond the bound with `503`, and closes it.
pub(crate) fn turn_away(socket: TcpStream) {
    if let Ok(permit) = TURNED_AWAY.try_acquire() {
        tokio::spawn(async move {
            let _permit = permit;
            // A client that does not read its answer loses it.
            let _ = timeout(LINGER, answer_raw(socket)).await;
        });
    }
}

async fn answer_raw(mut socket: TcpStream) -> std::io::Result<()> {
    let mut unread = [0; 1024];
    // Clients take an answer before their request for a protocol error.
    if socket.read(&mut unread).await? == 0 {
        return Ok(());
    }
    let body = error("too many connections", "too_many_connections").to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await?;
    while socket.read(&mut unread).await? > 0 {}
    Ok(())
}
