//! Forwards a request to the stack, and its answer to the client.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::EXPECT;
use axum::http::{Extensions, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use steadfast::crates::core::layer::leaves_root;
use steadfast::{AiStack, BoxError, Exhausted, ResponseBody, Trail};
use tokio::time::timeout;

use super::headers::{
    insert_attempts, insert_endpoint, mark_redirect, take_over, take_over_trailers,
};
use super::intake::Intake;
use super::reject::reject;
use super::screen::Screen;

/// The time to drain a body that is too large. Many clients read only after they have sent the
/// whole body, and would lose the answer with the connection.
const LINGER: Duration = Duration::from_secs(10);

/// The state of the routes under `/v1`.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub(crate) stack: AiStack,
    pub(crate) intake: Intake,
    pub(crate) screen: Arc<Screen>,
}

/// Sends a request through the stack. If the client disconnects, hyper drops the future, which ends
/// the attempt.
pub(crate) async fn forward(State(state): State<Forward>, request: Request) -> Response {
    if let Some(answer) = state.screen.answer(&request) {
        return answer;
    }
    let Forward { stack, intake, .. } = state;
    let (mut head, mut body) = request.into_parts();
    if leaves_root(head.uri.path()) {
        return not_found().await;
    }
    // To read the body answers the header with `100 Continue`.
    let expects_continue = head.headers.remove(EXPECT).is_some();
    let body = match intake.read(&mut body).await {
        Ok(body) => body,
        Err(unread) => {
            if unread.has_rest(expects_continue) {
                discard(body);
            }
            return unread.into_response();
        }
    };
    // The extensions describe the connection of the client, and each attempt would copy them.
    head.extensions = Extensions::new();
    let path = head.uri.path().to_owned();
    let request = Request::from_parts(head, Full::from(body));
    match stack.send(request).await {
        Ok(response) => answer(stack.with_error_event(&path, response)),
        Err(error) => fail(stack.error_response(&path, &error), &error),
    }
}

fn discard(mut body: Body) {
    let reading = async move { while let Some(Ok(_)) = body.frame().await {} };
    tokio::spawn(timeout(LINGER, reading));
}

fn answer(response: Response<ResponseBody>) -> Response {
    let (mut head, body) = response.into_parts();
    take_over(&mut head.headers);
    mark_redirect(head.status, &mut head.headers);
    // The version describes the connection to the endpoint, which can be older than the client's.
    head.version = Version::default();
    if let Some(trail) = head.extensions.remove::<Trail>() {
        tracing::debug!(%trail, "request with several attempts");
        insert_attempts(&mut head.headers, &trail);
        insert_endpoint(&mut head.headers, &trail);
    }
    // Trailers are headers, too.
    let body = body.map_frame(|mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            take_over_trailers(trailers);
        }
        frame
    });
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
