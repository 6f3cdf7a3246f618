//! Passes a request on to the stack, and its answer back.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::EXPECT;
use axum::http::{Extensions, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::json;
use steadfast::{AiStack, BoxError, Exhausted, ResponseBody, Trail, error_response};
use tokio::time::timeout;

use super::headers::{remove_connection_headers, tell_attempts, tell_endpoint};

/// The size of the largest request body, in bytes. Images and documents travel inside of it.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// How long a body that is too large is read on. Many clients listen only when they have sent all
/// they have, and would lose the answer with the connection.
const LINGER: Duration = Duration::from_secs(10);

/// Sends a request through the stack. Dropping the future, as hyper does when the client leaves,
/// ends the attempt that is under way.
pub(crate) async fn forward(State(stack): State<AiStack>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    if climbs(head.uri.path()) {
        return not_found().await;
    }
    // Reading the body answers it.
    let asks_first = head.headers.remove(EXPECT).is_some();
    let body = match read(body, asks_first).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    // They are about the connection of the client, and each attempt would copy them.
    head.extensions = Extensions::new();
    let request = Request::from_parts(head, Full::from(body));
    match stack.send(request).await {
        Ok(response) => pass_back(response),
        Err(error) => fail(&error),
    }
}

/// Whether a path leads out of the API: what else an endpoint has is not for clients, who would
/// come there with the gateway's key.
fn climbs(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%2f", "/");
    let path = path.replace("%5c", "\\");
    path.split(['/', '\\']).any(|segment| segment == "..")
}

/// Reads a body whole: only what is in memory can be sent again.
async fn read(mut body: Body, asks_first: bool) -> Result<Bytes, Response> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        // Reading on would ask a client to send it that asked whether it should.
        if !asks_first {
            discard(body);
        }
        return Err(too_large());
    }
    let data = Limited::new(&mut body, MAX_BODY).collect().await;
    data.map(|data| data.to_bytes()).map_err(|error| {
        if error.is::<LengthLimitError>() {
            discard(body);
            return too_large();
        }
        refuse(StatusCode::BAD_REQUEST, "the body broke off", "broken_body")
    })
}

fn discard(mut body: Body) {
    let reading = async move { while let Some(Ok(_)) = body.frame().await {} };
    tokio::spawn(timeout(LINGER, reading));
}

fn pass_back(response: Response<ResponseBody>) -> Response {
    let (mut head, body) = response.into_parts();
    remove_connection_headers(&mut head.headers);
    // It was that of the endpoint's connection, which may be older than the client's.
    head.version = Version::default();
    if let Some(trail) = head.extensions.remove::<Trail>() {
        tracing::debug!(%trail, "request took several attempts");
        tell_attempts(&mut head.headers, &trail);
        tell_endpoint(&mut head.headers, &trail);
    }
    Response::from_parts(head, Body::new(body))
}

fn fail(error: &BoxError) -> Response {
    tracing::debug!(%error, "request failed");
    let mut response = error_response(error).map(Body::new);
    if let Some(exhausted) = Exhausted::find(&**error) {
        tell_attempts(response.headers_mut(), exhausted.trail());
    }
    response
}

/// Answers a path that is not served.
pub(crate) async fn not_found() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such path", "not_found")
}

fn too_large() -> Response {
    let message = format!("the body has more than {MAX_BODY} bytes");
    refuse(StatusCode::PAYLOAD_TOO_LARGE, &message, "body_too_large")
}

/// An error of this server, in the shape of OpenAI's.
fn refuse(status: StatusCode, message: &str, code: &str) -> Response {
    let error = json!({
        "message": message,
        "type": "invalid_request_error",
        "param": null,
        "code": code,
    });
    (status, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_the_api() {
        for (path, expected) in [
            ("/v1/../admin", true),
            ("/v1/..", true),
            ("/v1/%2e%2E/admin", true),
            ("/v1/.%2e%2fadmin", true),
            ("/v1/..%5Cadmin", true),
            ("/v1/models/..\\..\\admin", true),
            ("/v1/models", false),
            ("/v1/models/gpt-4..1", false),
            ("/v1/models/..gpt", false),
            ("/v1/models/owner%2Fmodel", false),
        ] {
            assert_eq!(climbs(path), expected, "{path}");
        }
    }
}
