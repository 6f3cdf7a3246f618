//! The response body of the edge.
//!
//! It yields the frames that were read for the verdict, and then the rest. Events of a stream are
//! still read while they pass, because a stream may report a failure late.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;
use steadfast_core::layer::{LateVerdict, ReadAhead};

use crate::edge::stream::Stream;
use crate::edge::timed::{Clock, TimedBody};

/// The body of a response: the frames that were read ahead, and the rest with its limits.
pub(crate) struct EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    ahead: ReadAhead<TimedBody<B>>,
    watched: Option<Watched>,
}

/// The state of a stream, which reads events while they pass.
struct Watched {
    stream: Stream,
    late: LateVerdict,
}

impl<B> EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(body: B, clock: Clock) -> Self {
        Self {
            ahead: ReadAhead::new(TimedBody::new(body, clock)),
            watched: None,
        }
    }

    /// Changes the limit of the reads that follow.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.change_rest(|rest| rest.set_clock(clock));
    }

    /// Reads the frames that follow, and sets `late` at the first event that reports a failure.
    /// Pings and comments may fill `alive`.
    pub(crate) fn watch(&mut self, stream: Stream, late: LateVerdict, alive: Duration) {
        if let Some(verdict) = stream.failed() {
            late.set(verdict);
        }
        self.watched = Some(Watched { stream, late });
        self.change_rest(|rest| rest.set_alive(alive));
    }

    /// Reads one frame ahead and keeps it.
    pub(crate) fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<&Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.ahead).poll_ahead(cx)
    }

    /// Removes the error that was read ahead last.
    pub(crate) fn take_error(&mut self) -> Option<BoxError> {
        Pin::new(&mut self.ahead).take_last()?.err()
    }

    fn change_rest(&mut self, change: impl FnOnce(&mut TimedBody<B>)) {
        if let Some(rest) = Pin::new(&mut self.ahead).rest_mut() {
            change(rest.get_mut());
        }
    }

    /// Reads an item of the body. Returns the error to put behind the end of the connection: it is
    /// in order, while the answer may be cut.
    fn inspect(&mut self, item: Option<&Result<Frame<Bytes>, BoxError>>) -> Option<BoxError> {
        let watched = self.watched.as_mut()?;
        match item {
            Some(Ok(frame)) => {
                watched.stream.read(frame.data_ref()?);
                let moved = watched.stream.take_moved();
                // The reader may stop at this frame.
                if let Some(verdict) = watched.stream.failed() {
                    watched.late.set(verdict);
                }
                if moved {
                    self.change_rest(TimedBody::restart_alive);
                }
                None
            }
            Some(Err(_)) => {
                self.watched = None;
                None
            }
            None => {
                watched.stream.finish();
                let broken = watched.stream.broken();
                self.watched = None;
                broken.map(Into::into)
            }
        }
    }
}

impl<B> Body for EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Frames that were read ahead have been inspected.
        let inspected = self.ahead.frames().next().is_some();
        let item = ready!(Pin::new(&mut self.ahead).poll_frame(cx));
        if inspected {
            return Poll::Ready(item);
        }
        match self.inspect(item.as_ref()) {
            Some(broken) => Poll::Ready(Some(Err(broken))),
            None => Poll::Ready(item),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_end_stream()
            && (self.watched.as_ref()).is_none_or(|watched| watched.stream.broken().is_none())
    }

    fn size_hint(&self) -> SizeHint {
        self.ahead.size_hint()
    }
}

impl<B> fmt::Debug for EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeBody").finish_non_exhaustive()
    }
}
