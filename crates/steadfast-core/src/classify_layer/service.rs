use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::ClassifyFuture;
use crate::BoxError;
use crate::classify::{Classify, DefaultClassifier};

/// The service that [`ClassifyLayer`](crate::ClassifyLayer) creates.
#[derive(Debug)]
pub struct ClassifyService<S, C = DefaultClassifier> {
    inner: S,
    classifier: Arc<C>,
}

impl<S, C> ClassifyService<S, C> {
    pub(super) fn new(inner: S, classifier: Arc<C>) -> Self {
        Self { inner, classifier }
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

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for ClassifyService<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    C: Classify,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ClassifyFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ClassifyFuture::new(self.inner.call(request), self.classifier.clone())
    }
}

impl<S: Clone, C> Clone for ClassifyService<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.classifier.clone())
    }
}
