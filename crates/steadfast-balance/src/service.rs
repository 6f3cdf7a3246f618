use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use steadfast_core::BoxError;
use tower_service::Service;

use crate::future::{ResponseBody, ResponseFuture};
use crate::pool::Pool;

/// Sends each request to an endpoint that can take it.
///
/// Made by [`EndpointBalanceLayer`](crate::EndpointBalanceLayer). See the [crate docs](crate) for
/// an example.
#[derive(Debug)]
pub struct EndpointBalance<S> {
    pool: Arc<Pool>,
    /// One service for each endpoint, in the order of the pool.
    services: Arc<[S]>,
}

impl<S> EndpointBalance<S> {
    pub(crate) fn new(pool: Arc<Pool>, services: Arc<[S]>) -> Self {
        Self { pool, services }
    }

    /// Returns the services, one for each endpoint, in the order of the configuration.
    #[must_use]
    pub fn services(&self) -> &[S] {
        &self.services
    }
}

impl<S, B, ResBody> Service<Request<B>> for EndpointBalance<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Which endpoint has to be ready depends on the request, so that is found out later.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(self.pool.clone(), self.services.clone(), request)
    }
}

impl<S> Clone for EndpointBalance<S> {
    fn clone(&self) -> Self {
        Self::new(self.pool.clone(), self.services.clone())
    }
}
