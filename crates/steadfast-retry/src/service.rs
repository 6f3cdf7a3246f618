use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use steadfast_core::{BoxError, Classify, DefaultClassifier, Trail};
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::mode::{BodyMode, Replay};
use crate::policy::Policy;
use crate::retry::Retry;

/// Sends requests again when that may help.
///
/// Made by [`RetryOn429Layer`](crate::RetryOn429Layer). See the [crate docs](crate) for an
/// example.
#[derive(Clone, Debug)]
pub struct RetryOn429<S, C = DefaultClassifier, M = Replay> {
    inner: S,
    policy: Arc<Policy>,
    classifier: Arc<C>,
    mode: M,
}

impl<S, C, M> RetryOn429<S, C, M> {
    pub(crate) fn new(inner: S, policy: Arc<Policy>, classifier: Arc<C>, mode: M) -> Self {
        Self {
            inner,
            policy,
            classifier,
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

impl<S, C, M, B, ResBody> Service<Request<B>> for RetryOn429<S, C, M>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
    C: Classify,
    M: BodyMode<B>,
{
    type Response = Response<ResBody>;
    type Error = BoxError;
    type Future = ResponseFuture<S, C, M, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let body = self.mode.prepare(body);
        // Decided before anything is copied: what can be sent once needs no copy.
        let copy = match self.policy.max_attempts {
            0 | 1 => None,
            _ => M::try_clone(&body),
        };
        let Some(copy) =
            copy.filter(|_| Trail::of(&head.extensions).is_none_or(Trail::take_charge))
        else {
            let future = self.inner.call(Request::from_parts(head, body));
            return ResponseFuture::new(future, None);
        };
        // Copied before the trail is in it, as an extension is costly to copy.
        let template = head.clone();
        let trail = match Trail::of(&head.extensions) {
            Some(trail) => trail.clone(),
            None => {
                let trail = Trail::new();
                let _ = trail.take_charge();
                head.extensions.insert(trail.clone());
                trail
            }
        };

        // The handle that was polled ready makes the call and stays with the request.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        let (policy, classifier) = (self.policy.clone(), self.classifier.clone());
        let mut retry = Retry::new(service, template, copy, policy, classifier, trail);
        let future = retry.service.call(Request::from_parts(head, body));
        ResponseFuture::new(future, Some(retry))
    }
}
