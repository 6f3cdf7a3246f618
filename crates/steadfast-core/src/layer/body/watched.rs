use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::late_verdict::LateVerdict;
use super::on_end::{End, OnEnd};
use crate::layer::classified_outcome::verdict_of_error;

pin_project! {
    /// A response body that notifies a guard of its end.
    ///
    /// The body ends at `None`, at an error, or if `is_end_stream` returns `true`. The last is
    /// checked at creation and after each frame, because a reader of server-sent events stops at
    /// the last event and never polls again. A [`LateVerdict`] ends the body with the frame during
    /// which it is set. The guard is dropped at the end, or with the body.
    pub struct Watched<B, G> {
        #[pin]
        inner: B,
        guard: Option<G>,
        late: Option<LateVerdict>,
    }
}

impl<B, G> Watched<B, G>
where
    B: Body,
    G: OnEnd,
{
    /// Creates a body that notifies `guard` of the end of `inner`.
    pub fn new(inner: B, guard: G) -> Self {
        Self::with_late(inner, guard, None)
    }

    #[inline]
    fn with_late(inner: B, guard: G, late: Option<LateVerdict>) -> Self {
        let mut watched = Self {
            inner,
            guard: Some(guard),
            late,
        };
        if watched.inner.is_end_stream() {
            end(&mut watched.guard, End::Complete);
        }
        watched
    }

    /// Watches the body of `response` for `guard`.
    #[inline]
    pub fn response(response: Response<B>, guard: G) -> Response<Self> {
        Self::wrap(response, guard, |watched| watched)
    }

    /// Watches the body of `response` for `guard`, inside of the body that `wrap` returns.
    ///
    /// The response moves once. A second [`Response::map`] would copy it again.
    #[inline]
    pub fn wrap<R>(response: Response<B>, guard: G, wrap: impl FnOnce(Self) -> R) -> Response<R> {
        let late = response.extensions().get().cloned();
        response.map(|body| wrap(Self::with_late(body, guard, late)))
    }
}

impl<B, G> Watched<B, G> {
    /// Creates a body without a guard.
    pub fn unwatched(inner: B) -> Self {
        Self {
            inner,
            guard: None,
            late: None,
        }
    }

    /// Returns a reference to the body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// Returns a mutable reference to the body.
    pub fn get_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Consumes `self` and returns the body. The guard is dropped.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B, G> Body for Watched<B, G>
where
    B: Body,
    B::Error: 'static,
    G: OnEnd,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        // Only inspected: the frame is returned unchanged.
        let polled = this.inner.as_mut().poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(_))) => {
                if let Some(verdict) = this.late.as_ref().and_then(LateVerdict::get) {
                    end(this.guard, End::Broken(verdict));
                } else if this.inner.is_end_stream() {
                    end(this.guard, End::Complete);
                }
            }
            Poll::Ready(None) => end(this.guard, End::Complete),
            Poll::Ready(Some(Err(error))) => {
                end(this.guard, End::Broken(verdict_of_error(error)));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default, G> Default for Watched<B, G> {
    fn default() -> Self {
        Self::unwatched(B::default())
    }
}

impl<B: fmt::Debug, G> fmt::Debug for Watched<B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.inner).finish()
    }
}

#[inline]
fn end<G: OnEnd>(guard: &mut Option<G>, end: End) {
    if let Some(active) = guard {
        active.on_end(end);
        *guard = None;
    }
}

#[cfg(test)]
mod tests;
