//! Forwards a request to the stack, and its answer to the client.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::EXPECT;
use axum::http::{Extensions, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::json;
use steadfast::crates::core::layer::leaves_root;
use steadfast::{AiStack, BoxError, Exhausted, ResponseBody, Trail};
use tokio::time::timeout;

use super::headers::{insert_attempts, insert_endpoint, remove_connection_headers};

/// The size of the largest request body, in bytes. It includes images and documents.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// The time to drain a body that is too large. Many clients read only after they have sent the whole
/// body, and would lose the answer with the connection.
const LINGER: Duration = Duration::from_secs(10);

/// Sends a request through the stack. If the client disconnects, hyper drops the future, which ends
/// the attempt.
pub(crate) async fn forward(State(stack): State<AiStack>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    if leaves_root(head.uri.path()) {
        return not_found().await;
    }
    // To read the body answers the header with `100 Continue`.
    let expects_continue = head.headers.remove(EXPECT).is_some();
    let body = match read(body, expects_continue).await {
        Ok(body) => body,
        Err(rejection) => return rejection,
    };
    // The extensions describe the connection of the client, and each attempt would copy them.
    head.extensions = Extensions::new();
    let path = head.uri.path().to_owned();
    let request = Request::from_parts(head, Full::from(body));
    match stack.send(request).await {
        Ok(response) => answer(response),
        Err(error) => fail(stack.error_response(&path, &error), &error),
    }
}

/// Reads the whole body into memory, so that each attempt can send it.
async fn read(mut body: Body, expects_continue: bool) -> Result<Bytes, Response> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        // To read the body would send `100 Continue` to a client that waits for it.
        if !expects_continue {
            discard(body);
        }
        return Err(body_too_large());
    }
    let data = Limited::new(&mut body, MAX_BODY).collect().await;
    data.map(|data| data.to_bytes()).map_err(|error| {
        if error.is::<LengthLimitError>() {
            discard(body);
            return body_too_large();
        }
        reject(
            StatusCode::BAD_REQUEST,
            "the body is incomplete",
            "broken_body",
        )
    })
}

fn discard(mut body: Body) {
    let reading = async move { while let Some(Ok(_)) = body.frame().await {} };
    tokio::spawn(timeout(LINGER, reading));
}

fn answer(response: Response<ResponseBody>) -> Response {
    let (mut head, body) = response.into_parts();
    remove_connection_headers(&mut head.headers);
    // The version describes the connection to the endpoint, which can be older than the client's.
    head.version = Version::default();
    if let Some(trail) = head.extensions.remove::<Trail>() {
        tracing::debug!(%trail, "request with several attempts");
        insert_attempts(&mut head.headers, &trail);
        insert_endpoint(&mut head.headers, &trail);
    }
    Response::from_parts(head, Body::new(body))
}

fn fail(response: Response<Full<Bytes>>, error: &BoxError) -> Response {
    tracing::debug!(%error, "request failed");
    let mut response = response.map(Body::new);
    if let Some(exhausted) = Exhausted::find(&**error) {
        insert_attempts(response.headers_mut(), exhausted.trail());
    }
    response
}

/// Rejects an unknown path.
pub(crate) async fn not_found() -> Response {
    reject(StatusCode::NOT_FOUND, "unknown path", "not_found")
}

fn body_too_large() -> Response {
    let message = format!("the body has more than {MAX_BODY} bytes");
    reject(StatusCode::PAYLOAD_TOO_LARGE, &message, "body_too_large")
}

/// An error of this server in the format of OpenAI.
fn reject(status: StatusCode, message: &str, code: &str) -> Response {
    let error = json!({
        "message": message,
        "type": "invalid_request_error",
        "param": null,
        "code": code,
    });
    (status, Json(json!({ "error": error }))).into_response()
}
