//! A check by an HTTP request.

use std::future::poll_fn;
use std::pin::pin;

use http::{Request, Response, StatusCode};
use http_body::Body;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, Verdict};
use tower_service::Service;

use super::outcome::{Checking, Outcome};
use crate::endpoint::Endpoint;
use crate::endpoint::rewrite::rewrite;

/// The settings of a check by an HTTP request.
#[derive(Clone)]
pub(super) struct RequestCheck {
    /// The path of the request.
    pub(super) path: String,
    /// The expected status. `None` accepts every success.
    pub(super) status: Option<StatusCode>,
}

impl RequestCheck {
    /// Starts a check.
    pub(super) fn begin<S, B, ResBody>(&self, endpoint: &Endpoint, client: S) -> Checking
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
        ResBody::Data: Send,
    {
        let mut request = Request::new(B::default());
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        if rewrite(&mut request, endpoint, "").is_err() {
            // The URI is too long. This is no evidence about the health of the endpoint.
            return Box::pin(async { Outcome::unknown() });
        }
        if let Some(credential) = &endpoint.credential {
            credential.apply_current(request.headers_mut());
        }
        let status = self.status;
        Box::pin(async move {
            match exchange(client, request).await {
                Ok(head) => judge(&head, status, verdict_of(Ok(&head))),
                Err(error) => Outcome::unexpected(verdict_of::<()>(Err(&*error))),
            }
        })
    }
}

/// Sends a request and reads its response to the end, so that the connection is reusable.
async fn exchange<S, B, ResBody>(
    mut client: S,
    request: Request<B>,
) -> Result<Response<()>, BoxError>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body,
    ResBody::Error: Into<BoxError>,
{
    poll_fn(|cx| client.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    let response = client.call(request).await.map_err(Into::into)?;
    let (head, body) = response.into_parts();
    let mut body = pin!(body);
    while !body.is_end_stream() {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(frame) => drop(frame.map_err(Into::into)?),
            None => break,
        }
    }
    Ok(Response::from_parts(head, ()))
}

/// Returns the outcome for the head of a response.
fn judge(head: &Response<()>, expected: Option<StatusCode>, verdict: Verdict) -> Outcome {
    match expected {
        Some(expected) if head.status() == expected => Outcome::passed(),
        Some(_) => Outcome::unexpected(verdict),
        None => Outcome::of(verdict),
    }
}
