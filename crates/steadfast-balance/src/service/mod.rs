//! The service, its response future, and the guards of its attempts.

pub(crate) mod acquire;
mod announce;
mod attribution;
pub(crate) mod body;
pub(crate) mod future;
pub(crate) mod in_flight;
mod load_guard;
mod quota_report;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use steadfast_core::BoxError;
use tower_service::Service;

use crate::pool::services::Services;
use crate::service::body::ResponseBody;
use crate::service::future::ResponseFuture;

/// Sends each request to an admissible endpoint.
///
/// Created by [`EndpointBalanceLayer`](crate::EndpointBalanceLayer). See the [crate docs](crate)
/// for an example.
pub struct EndpointBalance<S> {
    services: Arc<Services<S>>,
}

impl<S> EndpointBalance<S> {
    pub(crate) fn new(services: Services<S>) -> Self {
        Self {
            services: Arc::new(services),
        }
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
        // The endpoint depends on the request, so the response future polls for readiness.
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(self.services.clone(), request)
    }
}

impl<S> Clone for EndpointBalance<S> {
    fn clone(&self) -> Self {
        Self {
            services: self.services.clone(),
        }
    }
}

impl<S> fmt::Debug for EndpointBalance<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBalance")
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}
