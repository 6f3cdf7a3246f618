use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::future::ResponseFuture;
use crate::numbers::Numbers;
use crate::running::Running;

/// Measures the requests that pass through the inner service.
///
/// Created by [`MetricsLayer`](crate::MetricsLayer). See the [crate docs](crate) for an example.
#[derive(Clone)]
pub struct Metrics<S> {
    inner: S,
    numbers: Arc<Numbers>,
}

impl<S> Metrics<S> {
    pub(crate) fn new(inner: S, numbers: Arc<Numbers>) -> Self {
        Self { inner, numbers }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self` and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Metrics<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: 'static,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Before the inner call, which may do work of its own and is allowed to panic.
        let running = Running::start(self.numbers.clone());
        ResponseFuture::new(self.inner.call(request), running)
    }
}

impl<S: fmt::Debug> fmt::Debug for Metrics<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("inner", &self.inner)
            .field("snapshot", &self.numbers.snapshot())
            .finish_non_exhaustive()
    }
}
