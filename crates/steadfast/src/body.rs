use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use steadfast_core::BoxError;
use steadfast_retry::ReplayBody;

/// A body of any kind, as [`AiStack`](crate::AiStack) takes it.
// Clients such as reqwest want bodies to be `Sync`. The lock makes it so, and is never contended:
// who polls the body has it for himself.
pub struct AnyBody {
    /// The first frame, if it was read to look at it.
    first: Option<Result<Frame<Bytes>, BoxError>>,
    rest: Mutex<UnsyncBoxBody<Bytes, BoxError>>,
}

/// The body of the requests that the client under an [`AiStack`](crate::AiStack) sends.
pub type RequestBody = ReplayBody<AnyBody>;

/// The body of a response of an [`AiStack`](crate::AiStack).
///
/// Its errors have a [`Classified`](steadfast_core::Classified) among their sources, which says
/// what broke. The endpoint counts the request as in flight until the body ends or is dropped.
pub struct ResponseBody(AnyBody);

impl ResponseBody {
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
        Self {
            first: None,
            rest: Mutex::new(body.map_err(Into::into).boxed_unsync()),
        }
    }

    /// Returns the data of a body that is in memory in one piece, which is not empty.
    pub(crate) fn in_one_piece(&mut self) -> Option<Bytes> {
        // One that is not there yet is polled again later, with a waker that works.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = Pin::new(&mut *self).poll_frame(&mut cx) {
            self.first = frame;
        }
        let first = self.first.as_ref()?.as_ref().ok()?;
        let whole = self.lock().is_end_stream();
        first.data_ref().filter(|_| whole).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, UnsyncBoxBody<Bytes, BoxError>> {
        // A body that panicked is for its reader to judge.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of a body of which some data was read early.
pub(crate) fn with_read<'a>(rest: &SizeHint, read: impl Iterator<Item = &'a Bytes>) -> SizeHint {
    let read: u64 = read.map(|data| data.len() as u64).sum();
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(read));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(read));
    }
    hint
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
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let rest = self.rest.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.iter().flatten().filter_map(Frame::data_ref);
        with_read(&self.lock().size_hint(), first)
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
