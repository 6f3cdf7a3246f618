//! The response body of the edge.
//!
//! It yields the frames that were read for the verdict, and then the rest. Events of a stream are
//! still read while they pass, because a stream may report a failure late.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;
use steadfast_core::layer::{LateVerdict, ReadAhead};
use steadfast_edge::{Clock, TimedBody};
use tokio::time::Instant;

use crate::edge::memory::{Memory, Share};
use crate::edge::settings::Settings;
use crate::edge::stream::Stream;
use crate::respond::Reported;

/// The body of a response: the frames that were read ahead, and the rest with its limits.
pub(crate) struct EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Boxed, as the body is moved through each layer.
    ahead: Box<ReadAhead<TimedBody<B>>>,
    /// Boxed apart: a whole answer has none.
    watched: Option<Box<Watched>>,
    /// The memory of the frames that were read ahead. Boxed: small answers have none.
    share: Option<Box<Share>>,
}

/// The outcome of a read.
type Item = Option<Result<Frame<Bytes>, BoxError>>;

/// The state of a stream, which reads events while they pass.
struct Watched {
    stream: Stream,
    late: LateVerdict,
    settings: Arc<Settings>,
}

impl Watched {
    /// Reports a break, and returns the error of the body, which names the endpoint and the reason.
    fn broke(&self, error: BoxError) -> BoxError {
        // A connection that breaks behind an error event adds nothing to it.
        let own = self
            .stream
            .broken()
            .filter(|_| self.stream.failed().is_some());
        let error = own.map_or(error, Into::into);
        let error = match self.stream.is_reported() {
            true => Reported(error).into(),
            false => error,
        };
        match self.stream.is_visible() {
            true => self.settings.stream_broke(error, self.stream.tokens()),
            false => self.settings.preamble_broke(error),
        }
    }
}

impl<B> EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Wraps the body of a response, with the limit of its first reads.
    pub(crate) fn new(body: B, clock: Clock) -> Self {
        Self {
            ahead: Box::new(ReadAhead::new(TimedBody::new(body, clock))),
            watched: None,
            share: None,
        }
    }

    /// Takes memory for the frames that were read ahead. Returns `false` if the answers of the
    /// stack use all of it.
    pub(super) fn hold(&mut self, memory: &Memory, size: usize) -> bool {
        memory.hold(&mut self.share, size)
    }

    /// Sets the present for a read that follows at once. It spares that read the clock.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.change_rest(|rest| rest.set_now(now));
    }

    /// Changes the limit of the reads that follow.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.change_rest(|rest| rest.set_clock(clock));
    }

    /// Reads the frames that follow, and sets `late` at the first event that reports a failure.
    /// Pings and comments may fill `alive`.
    pub(crate) fn watch(
        &mut self,
        stream: Stream,
        late: LateVerdict,
        settings: Arc<Settings>,
        alive: Duration,
    ) {
        if let Some(verdict) = stream.failed() {
            late.set(verdict);
        }
        self.watched = Some(Box::new(Watched {
            stream,
            late,
            settings,
        }));
        self.change_rest(|rest| rest.set_alive(alive));
    }

    /// Reads one frame ahead and keeps it.
    pub(super) fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<&Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut *self.ahead).poll_ahead(cx)
    }

    /// Returns the data of the frames that were read ahead.
    pub(crate) fn read_ahead(&self) -> impl Iterator<Item = &Bytes> {
        let frames = self.ahead.frames().flatten();
        frames.filter_map(Frame::data_ref)
    }

    /// Reads one frame ahead. Returns its data, which is empty in trailers, or `Some(None)` for an
    /// error.
    pub(crate) async fn next_data(&mut self) -> Option<Option<Bytes>> {
        poll_fn(|cx| self.poll_ahead(cx).map(|item| item.map(copy_data))).await
    }

    /// Returns the data that was read ahead. Only data of several frames is copied.
    pub(crate) fn joined(&self) -> Cow<'_, [u8]> {
        let mut frames = self.read_ahead().filter(|data| !data.is_empty());
        let first = frames.next().map(|data| &data[..]).unwrap_or_default();
        let mut all = Cow::Borrowed(first);
        for data in frames {
            all.to_mut().extend_from_slice(data);
        }
        all
    }

    /// Removes the error that was read ahead last.
    pub(crate) fn take_error(&mut self) -> Option<BoxError> {
        Pin::new(&mut *self.ahead).take_last()?.err()
    }

    /// Changes the limits of the part that was not read ahead.
    fn change_rest(&mut self, change: impl FnOnce(&mut TimedBody<B>)) {
        if let Some(rest) = Pin::new(&mut *self.ahead).rest_mut() {
            change(rest.get_mut());
        }
    }

    /// Reads an item of the body, and returns the item to pass on. The end of the connection can be
    /// in order while the answer is cut: an error is put behind it.
    fn inspect(&mut self, item: Item) -> Item {
        let Some(watched) = &mut self.watched else {
            return item;
        };
        match item {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watched.stream.read(data);
                }
                // The reader may stop at this frame.
                if let Some(verdict) = watched.stream.failed() {
                    watched.late.set(verdict);
                }
                if watched.stream.take_moved() {
                    self.change_rest(TimedBody::restart_alive);
                }
                Some(Ok(frame))
            }
            // Nothing of the answer is lost. A reader that stops there would not see the break.
            Some(Err(_)) if watched.stream.is_complete() => {
                self.watched = None;
                None
            }
            Some(Err(error)) => {
                let error = watched.broke(error);
                self.watched = None;
                Some(Err(error))
            }
            None => {
                watched.stream.finish();
                let broken = watched.stream.broken();
                let broken = broken.map(|broken| Err(watched.broke(broken.into())));
                self.watched = None;
                broken
            }
        }
    }
}

/// Returns the data of a frame, or `None` for an error.
fn copy_data(item: &Result<Frame<Bytes>, BoxError>) -> Option<Bytes> {
    let frame = item.as_ref().ok()?;
    Some(frame.data_ref().cloned().unwrap_or_default())
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
        let item = ready!(Pin::new(&mut *self.ahead).poll_frame(cx));
        if inspected {
            return Poll::Ready(item);
        }
        self.share = None;
        Poll::Ready(self.inspect(item))
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
