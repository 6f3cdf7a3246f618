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
use crate::future::HedgeFuture;
use crate::rules::Shared;
use crate::running::{Again, Running};

/// Sends a request to a second endpoint when the first is slow to answer.
///
/// Made by [`HedgeLayer`](crate::HedgeLayer), which has an example.
pub struct Hedge<S, C = Cloned> {
    inner: S,
    shared: Arc<Shared<C>>,
}

impl<S, C> Hedge<S, C> {
    pub(crate) fn new(inner: S, shared: Shared<C>) -> Self {
        Self {
            inner,
            shared: Arc::new(shared),
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

    /// Keeps what is needed to send a request again, if that may be and comes in time.
    fn keep<B>(&mut self, head: &Parts, body: &B, now: Instant) -> Option<Again<S, B>>
    where
        S: Clone,
        C: CopyBody<B>,
    {
        let delay = self.shared.delay(Deadline::of(&head.extensions), now)?;
        let body = self.shared.copy.copy(body)?;
        // The handle that was polled ready makes the call and stays with the request.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        Some(Again::new(service, (head.clone(), body), delay))
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
    type Future = HedgeFuture<S, B, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.shared.count();
        let (mut head, body) = request.into_parts();
        if !self.shared.may_hedge(&head) {
            let first = self.inner.call(Request::from_parts(head, body));
            return HedgeFuture::new(first, None);
        }
        let now = Instant::now();
        let mut again = self.keep(&head, &body, now);
        if again.is_none() && !self.shared.measures() {
            let first = self.inner.call(Request::from_parts(head, body));
            return HedgeFuture::new(first, None);
        }
        let group = AttemptGroup::new();
        head.extensions.insert(group.clone());
        let service = again.as_mut().map_or(&mut self.inner, |it| &mut it.service);
        let first = service.call(Request::from_parts(head, body));
        let running = Running::new(self.shared.clone(), group, now, again);
        HedgeFuture::new(first, Some(running))
    }
}

impl<S: Clone, C> Clone for Hedge<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Hedge<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("inner", &self.inner)
            .field("rules", &self.shared.rules)
            .finish_non_exhaustive()
    }
}
