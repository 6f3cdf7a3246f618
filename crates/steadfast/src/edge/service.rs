//! The layer and the service of the edge.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use steadfast_core::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::RequestBody;
use crate::edge::attempt::AttemptFuture;
use crate::edge::attempt_state::Attempt;
use crate::edge::body::EdgeBody;
use crate::edge::settings::Settings;

/// Applies [`Edge`] to the client of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct EdgeLayer {
    pub(crate) settings: Arc<Settings>,
}

/// Bounds the time of attempts, and classifies their responses.
#[derive(Clone, Debug)]
pub(crate) struct Edge<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge {
            inner,
            settings: self.settings.clone(),
        }
    }
}

impl<S, ResBody> Service<Request<RequestBody>> for Edge<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResBody>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    ResBody: Body<Data = Bytes> + Unpin + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<EdgeBody<ResBody>>;
    type Error = BoxError;
    type Future = AttemptFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// Sends one attempt, within the limits of the request and of the endpoint.
    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let attempt = match Attempt::of(&request, &self.settings) {
            Ok(attempt) => attempt,
            Err(late) => return AttemptFuture::late(late),
        };
        AttemptFuture::new(self.inner.call(request), attempt)
    }
}
