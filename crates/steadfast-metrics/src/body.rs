use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::layer::Watched;

use crate::running::Running;

pin_project! {
    /// The response body of [`Metrics`](crate::Metrics).
    ///
    /// The end of the body is the end of the request or attempt.
    pub struct ResponseBody<B> {
        #[pin]
        inner: Watched<B, Running>,
    }
}

impl<B> ResponseBody<B> {
    /// Replaces the body of `response` by a body that ends `running`.
    #[inline]
    pub(crate) fn response(response: Response<B>, running: Running) -> Response<Self>
    where
        B: Body,
    {
        Watched::wrap(response, running, |inner| Self { inner })
    }

    #[inline]
    pub(crate) fn unmeasured(inner: B) -> Self {
        Self {
            inner: Watched::unwatched(inner),
        }
    }

    /// Returns a reference to the body.
    pub fn get_ref(&self) -> &B {
        self.inner.get_ref()
    }

    /// Returns a mutable reference to the body.
    pub fn get_mut(&mut self) -> &mut B {
        self.inner.get_mut()
    }

    /// Consumes `self` and returns the body. The measurement ends as if the body was dropped.
    pub fn into_inner(self) -> B {
        self.inner.into_inner()
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
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
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
        Self::unmeasured(B::default())
    }
}

impl<B: fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseBody").field(self.get_ref()).finish()
    }
}
