//! The bodies of requests and responses.
//!
//! A stack accepts any body and returns one type, so bodies are boxed at its border.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use steadfast_core::BoxError;
use steadfast_core::layer::ReadAhead;
use steadfast_retry::ReplayBody;

/// The frames that were read ahead, then the rest of the boxed body.
type Inner = ReadAhead<UnsyncBoxBody<Bytes, BoxError>>;

/// A body of any kind, as [`AiStack`](crate::AiStack) takes it.
// Clients such as reqwest require `Sync`. The lock provides it, and is never contended: a body has
// one reader.
pub struct AnyBody(Mutex<Inner>);

/// The body of a request that the client below an [`AiStack`](crate::AiStack) sends.
pub type RequestBody = ReplayBody<AnyBody>;

/// The body of a response of an [`AiStack`](crate::AiStack).
///
/// Its errors have a [`Classified`](steadfast_core::Classified) among their sources. The request is
/// in flight at its endpoint until the body ends or is dropped.
pub struct ResponseBody(AnyBody);

impl ResponseBody {
    /// Boxes the body of a response.
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(AnyBody::new(body))
    }
}

impl AnyBody {
    /// Boxes `body`.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let body = body.map_err(Into::into).boxed_unsync();
        Self(Mutex::new(ReadAhead::new(body)))
    }

    /// Returns the data of a body that is in memory in one frame, unless it is empty.
    pub(crate) fn in_one_piece(&mut self) -> Option<Bytes> {
        // A body that is pending is polled again later, with a waker that works.
        let mut cx = Context::from_waker(Waker::noop());
        let mut inner = self.inner();
        let _ = inner.as_mut().poll_ahead(&mut cx);
        let first = inner.frames().next()?.as_ref().ok()?;
        let whole = inner.rest().is_none_or(Body::is_end_stream);
        first.data_ref().filter(|_| whole).cloned()
    }

    /// Returns the body without locking: the caller has exclusive access.
    fn inner(&mut self) -> Pin<&mut Inner> {
        Pin::new(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Locks the body. The lock is never contended.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The reader of a body that panicked decides what follows.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty body.
impl Default for AnyBody {
    fn default() -> Self {
        Self::new(Empty::new())
    }
}

impl Body for AnyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.inner().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}

impl fmt::Debug for AnyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyBody").finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
