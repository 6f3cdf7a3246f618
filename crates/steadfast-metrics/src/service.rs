use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use steadfast_core::{Classify, DefaultClassifier};
use tower_service::Service;

use crate::numbers::Numbers;
use crate::running::Running;
use crate::{ResponseBody, ResponseFuture};

/// Measures what passes through the inner service.
///
/// Made by [`MetricsLayer`](crate::MetricsLayer). See the [crate docs](crate) for an example.
pub struct Metrics<S, C = DefaultClassifier> {
    inner: S,
    numbers: Arc<Numbers>,
    classifier: Arc<C>,
}

impl<S, C> Metrics<S, C> {
    pub(crate) fn new(inner: S, numbers: Arc<Numbers>, classifier: Arc<C>) -> Self {
        Self {
            inner,
            numbers,
            classifier,
        }
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

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for Metrics<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: 'static,
    C: Classify,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Before the inner call, which may do work of its own and is allowed to panic.
        let running = Running::start(self.numbers.clone());
        ResponseFuture::new(self.inner.call(request), self.classifier.clone(), running)
    }
}

impl<S: Clone, C> Clone for Metrics<S, C> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.numbers.clone(),
            self.classifier.clone(),
        )
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Metrics<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("inner", &self.inner)
            .field("snapshot", &self.numbers.snapshot())
            .finish_non_exhaustive()
    }
}
