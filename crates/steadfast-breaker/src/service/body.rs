//! The response body of the HTTP layer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::Verdict;
use steadfast_core::layer::{End, OnEnd, Watched};

use crate::value::Permit;

pin_project! {
    /// The response body of a service made by
    /// [`CircuitBreakerLayer::http`](crate::CircuitBreakerLayer::http).
    ///
    /// If the body breaks, the attempt failed. If the body is read to its end or dropped before,
    /// the verdict on the head remains.
    pub struct ResponseBody<B> {
        #[pin]
        inner: Watched<B, BodyEnd>,
    }
}

impl<B> ResponseBody<B> {
    /// Wraps the body of an attempt that is settled.
    pub(super) fn settled(inner: B) -> Self {
        Self {
            inner: Watched::unwatched(inner),
        }
    }

    /// Returns a reference to the inner body.
    pub fn get_ref(&self) -> &B {
        self.inner.get_ref()
    }

    /// Returns a mutable reference to the inner body.
    pub fn get_mut(&mut self) -> &mut B {
        self.inner.get_mut()
    }

    /// Consumes `self` and returns the inner body. The verdict on the head remains.
    pub fn into_inner(self) -> B {
        self.inner.into_inner()
    }
}

impl<B: Body> ResponseBody<B> {
    /// Wraps the body of an attempt with a successful head.
    #[inline]
    pub(super) fn watched(response: Response<B>, permit: Permit) -> Response<Self> {
        Watched::wrap(response, BodyEnd::new(permit), |inner| Self { inner })
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Error: 'static,
{
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::settled(B::default())
    }
}

impl<B: fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseBody").field(self.get_ref()).finish()
    }
}

/// Holds the permit of a response until the end of its body.
#[derive(Debug)]
pub(super) struct BodyEnd {
    /// `None` after the end.
    permit: Option<Permit>,
    /// The verdict on a body that is complete.
    complete: Option<Verdict>,
}

impl BodyEnd {
    pub(super) fn new(permit: Permit) -> Self {
        Self {
            permit: Some(permit),
            complete: None,
        }
    }

    /// Sets the verdict on a complete body without a late verdict.
    pub(super) fn complete(mut self, verdict: Verdict) -> Self {
        self.complete = Some(verdict);
        self
    }
}

impl OnEnd for BodyEnd {
    fn on_end(&mut self, end: End) {
        let verdict = match end {
            End::Broken(verdict) => Some(verdict),
            _ => self.complete,
        };
        // Without a verdict the permit is dropped, and the verdict on the head remains.
        if let (Some(permit), Some(verdict)) = (self.permit.take(), verdict) {
            permit.record(verdict);
        }
    }
}
