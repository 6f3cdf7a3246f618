//! The hedge layer of a stack.

use http::request::Parts;
use http::{Request, Response};
use steadfast_core::BoxError;
pub(crate) use steadfast_hedge::HedgeLayer as Hedging;
use steadfast_retry::RetryOverride;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::RequestBody;

/// Puts `hedging` around the balancer.
pub(crate) fn hedged<S, ResBody>(
    hedging: Hedging,
    balance: S,
) -> impl Service<
    Request<RequestBody>,
    Response = Response<ResBody>,
    Error = BoxError,
    Future: Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    S: Service<Request<RequestBody>, Response = Response<ResBody>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    ResBody: Send + 'static,
{
    let hedging = hedging.copy_body(RequestBody::try_clone).safe_if(is_safe);
    hedging.layer(balance)
}

/// Whether a request may be sent twice. The stack has marked the operations that are safe.
fn is_safe(head: &Parts) -> bool {
    let given = RetryOverride::of(&head.extensions).is_safe();
    given.unwrap_or_else(|| head.method.is_idempotent())
}
