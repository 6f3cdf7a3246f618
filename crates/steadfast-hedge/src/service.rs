use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use steadfast_core::Deadline;
use steadfast_core::layer::AttemptGroup;
use tokio::time::Instant;
use tower_service::Service;

use crate::copy::{Cloned, CopyBody};
use crate::future::ResponseFuture;
use crate::repeat::Repeat;
use crate::rules::Hedging;
use crate::running::Running;

/// Sends a request to a second endpoint if the first one answers slowly.
///
/// Created by [`HedgeLayer`](crate::HedgeLayer). See the [crate docs](crate) for an example.
pub struct Hedge<S, C = Cloned> {
    inner: S,
    hedging: Arc<Hedging<C>>,
}

impl<S, C> Hedge<S, C> {
    pub(crate) fn new(inner: S, hedging: Hedging<C>) -> Self {
        Self {
            inner,
            hedging: Arc::new(hedging),
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

    /// Keeps a copy of a request, if it can be hedged before its deadline.
    fn keep<B>(&mut self, head: &Parts, body: &B, now: Instant) -> Option<Repeat<S, B>>
    where
        S: Clone,
        C: CopyBody<B>,
    {
        let delay = self.hedging.delay(Deadline::of(&head.extensions), now)?;
        let body = self.hedging.copy.copy(body)?;
        // The instance that was polled ready is called, and stays with the request.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        Some(Repeat::new(service, (head.clone(), body), delay))
    }
}

impl<S, C, B, ResBody> Service<Request<B>> for Hedge<S, C>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: 'static,
    C: CopyBody<B>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.hedging.count();
        let (mut head, body) = request.into_parts();
        if !self.hedging.may_hedge(&head) {
            let first = self.inner.call(Request::from_parts(head, body));
            return ResponseFuture::new(first, None);
        }
        let now = Instant::now();
        let mut repeat = self.keep(&head, &body, now);
        if repeat.is_none() && !self.hedging.measures() {
            let first = self.inner.call(Request::from_parts(head, body));
            return ResponseFuture::new(first, None);
        }
        let group = AttemptGroup::new();
        head.extensions.insert(group.clone());
        let service = repeat
            .as_mut()
            .map_or(&mut self.inner, |it| &mut it.service);
        let first = service.call(Request::from_parts(head, body));
        let running = Running::new(self.hedging.clone(), group, now, repeat);
        ResponseFuture::new(first, Some(running))
    }
}

impl<S: Clone, C> Clone for Hedge<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            hedging: self.hedging.clone(),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Hedge<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("inner", &self.inner)
            .field("rules", &self.hedging.rules)
            .finish_non_exhaustive()
    }
}
