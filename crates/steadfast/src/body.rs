//! The bodies of requests and responses.
//!
//! A stack accepts any body and returns one type, so bodies are boxed at its border.

use std::any::Any;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use steadfast_core::BoxError;
use steadfast_core::layer::ReadAhead;
use steadfast_retry::ReplayBody;

/// The size that a frame counts beside its data. A server may send empty frames without end.
pub(crate) const FRAME: usize = 64;

/// A body of unknown type.
type Boxed = UnsyncBoxBody<Bytes, BoxError>;

/// A body of any kind, as [`AiStack`](crate::AiStack) takes it.
// Clients such as reqwest require `Sync`. The lock provides it, and is never contended: a body has
// one reader.
pub struct AnyBody(Mutex<Repr>);

/// The body in its place.
enum Repr {
    /// Data in memory in one frame, or nothing after it. No box, because most requests have such a
    /// body.
    Held(Option<Bytes>),
    /// Any other body, of which nothing was read ahead.
    Boxed(Boxed),
    /// The frames that were read ahead, then the rest.
    Ahead(Box<ReadAhead<Boxed>>),
}

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
        // `Full` is the body of nearly all clients with a request in memory.
        let mut body = Some(body);
        let full = (&mut body as &mut dyn Any).downcast_mut::<Option<Full<Bytes>>>();
        let held = full.and_then(Option::take).map(data_of);
        let repr = match (held, body) {
            (None, Some(body)) => Repr::Boxed(body.map_err(Into::into).boxed_unsync()),
            (held, _) => Repr::Held(held.flatten()),
        };
        Self(Mutex::new(repr))
    }

    /// Returns the data of a body that is in memory in one frame, unless it is empty.
    pub(crate) fn in_one_piece(&mut self) -> Option<Bytes> {
        let repr = self.repr();
        if let Repr::Boxed(body) = repr {
            *repr = Repr::Ahead(Box::new(ReadAhead::new(mem::take(body))));
        }
        let ahead = match repr {
            Repr::Held(data) => return data.clone(),
            Repr::Ahead(ahead) => ahead,
            Repr::Boxed(_) => unreachable!("it was replaced above"),
        };
        if ahead.frames().next().is_none() {
            // A body that is pending is polled again later, with a waker that works.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut **ahead).poll_ahead(&mut cx);
        }
        let first = ahead.frames().next()?.as_ref().ok()?;
        let whole = ahead.rest().is_none_or(Body::is_end_stream);
        first.data_ref().filter(|_| whole).cloned()
    }

    /// Returns the body without locking: the caller has exclusive access.
    fn repr(&mut self) -> &mut Repr {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the body. The lock is never contended.
    fn lock(&self) -> MutexGuard<'_, Repr> {
        // The reader of a body that panicked decides what follows.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the data of a body, unless it is empty.
fn data_of(mut body: Full<Bytes>) -> Option<Bytes> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        _ => None,
    }
}

/// An empty body.
impl Default for AnyBody {
    fn default() -> Self {
        Self(Mutex::new(Repr::Held(None)))
    }
}

impl Body for AnyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.repr() {
            Repr::Held(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Repr::Boxed(body) => Pin::new(body).poll_frame(cx),
            Repr::Ahead(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &*self.lock() {
            Repr::Held(data) => data.is_none(),
            Repr::Boxed(body) => body.is_end_stream(),
            Repr::Ahead(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.lock() {
            Repr::Held(data) => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            Repr::Boxed(body) => body.size_hint(),
            Repr::Ahead(body) => body.size_hint(),
        }
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

#[cfg(test)]
mod tests;
