//! The service: it prepares the request and starts the first attempt.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{BoxError, Trail};
use tokio::time::Instant;
use tower_service::Service;
use tracing::Span;

use crate::answer::ResponseBody;
use crate::attempt;
use crate::future::ResponseFuture;
use crate::mode::{BodyMode, Replay};
use crate::retry::{Retry, Settings};

/// Sends a request again after an outcome that another attempt can improve.
///
/// Created by [`RetryOn429Layer`](crate::RetryOn429Layer). See the [crate docs](crate) for an
/// example.
pub struct RetryOn429<S, M = Replay> {
    /// The client, or a balancer.
    inner: S,
    /// Shared with all clones.
    settings: Arc<Settings>,
    /// The way in which further attempts get a body.
    mode: M,
}

impl<S, M> RetryOn429<S, M> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: S, settings: Arc<Settings>, mode: M) -> Self {
        Self {
            inner,
            settings,
            mode,
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

impl<S, M, B, ResBody> Service<Request<B>> for RetryOn429<S, M>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, M, B, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut body = self.mode.prepare(body);
        let trail = Trail::of(&head.extensions).cloned();
        if trail.as_ref().is_some_and(RecordAttempts::is_claimed) {
            // A layer further out retries the request, and numbers its attempts.
            let future = self.inner.call(Request::from_parts(head, body));
            return ResponseFuture::new(future, Span::none(), None);
        }
        // Decided first, since a request that is sent once needs no copy.
        let kept = if self.settings.policy.may_retry(&head) {
            M::keep(&mut body)
        } else {
            None
        };
        let span = attempt::span(1);
        let header = self.settings.attempt_header.as_ref();
        let Some(kept) = kept else {
            attempt::number(&mut head.headers, header, 1);
            let entered = attempt::enter(&span);
            let future = self.inner.call(Request::from_parts(head, body));
            drop(entered);
            return ResponseFuture::new(future, span, None);
        };
        // Copied before the trail is inserted, since an extension is costly to copy.
        let template = head.clone();
        attempt::number(&mut head.headers, header, 1);
        let recorded = trail.as_ref().map_or(0, Trail::len);
        let started = Instant::now();
        let trail = trail.unwrap_or_else(|| {
            let trail = Trail::since(started);
            head.extensions.insert(trail.clone());
            trail
        });
        let _ = trail.claim_retries();
        // A streamed body may turn out to be too large for a second attempt.
        let noted = M::is_safe(&kept);
        if !M::is_open(&kept) && self.settings.policy.may_repeat(&template, noted) {
            trail.set_repeatable();
        }

        // The instance that was polled ready is called, and stays with the request.
        let clone = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, clone);
        let entered = attempt::enter(&span);
        let future = service.call(Request::from_parts(head, body));
        drop(entered);
        let settings = self.settings.clone();
        let sent = (recorded, started);
        let retry = Retry::new(service, (template, kept, noted), settings, trail, sent);
        ResponseFuture::new(future, span, Some(retry))
    }
}

impl<S: Clone, M: Clone> Clone for RetryOn429<S, M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            settings: self.settings.clone(),
            mode: self.mode.clone(),
        }
    }
}

impl<S: fmt::Debug, M> fmt::Debug for RetryOn429<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryOn429")
            .field("inner", &self.inner)
            .field("policy", &self.settings.policy)
            .finish_non_exhaustive()
    }
}
