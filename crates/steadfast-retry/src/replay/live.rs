//! A body that the first attempt sends while it is recorded.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use steadfast_core::BoxError;

use super::frames::{CHUNK, SMALL, data_len, into_bytes, rest_of};
use super::held::Held;
use super::reader::Reader;
use super::recording::Recording;

/// The frames of one poll. A body that always has a frame does not occupy the thread.
const MAX_FRAMES_A_POLL: u32 = 64;

/// A body that is not in memory and is not recorded.
pub(super) struct Live<B: Body> {
    /// The frames that were read ahead.
    pub(super) read: VecDeque<Result<Frame<Bytes>, B::Error>>,
    /// Follows `read`: the small frames that were read ahead.
    tail: BytesMut,
    /// The bytes that were read ahead.
    size: u64,
    /// The size hint of the body at first.
    hint: SizeHint,
    /// The bytes that the first attempt has sent.
    sent: u64,
    /// The bytes that can be kept.
    limit: u64,
    /// The body has returned its end. It must not be polled again.
    ended: bool,
    /// The body of the caller.
    body: B,
}

impl<B: Body> Live<B> {
    /// Starts with a body of which nothing has been sent.
    #[inline]
    pub(super) fn new(body: B, limit: u64) -> Self {
        Self {
            read: VecDeque::new(),
            tail: BytesMut::new(),
            size: 0,
            hint: body.size_hint(),
            sent: 0,
            limit,
            ended: false,
            body,
        }
    }

    /// Continues a recorded body that no further attempt needs.
    pub(super) fn resume(body: B, reader: &Reader<B>) -> Self
    where
        B: Unpin,
    {
        Self {
            hint: reader.whole_hint(),
            sent: reader.sent(),
            ..Self::new(body, 0)
        }
    }

    /// Whether the known size fits the limit.
    #[inline]
    pub(super) fn is_known_to_fit(&self) -> bool {
        self.hint.exact().is_some_and(|size| size <= self.limit)
    }

    /// Returns the size of the rest.
    pub(super) fn size_hint(&self) -> SizeHint {
        rest_of(&self.hint, self.sent)
    }

    /// Returns whether the rest is known to be empty.
    pub(super) fn is_end_stream(&self) -> bool {
        let is_sent = self.read.is_empty() && self.tail.is_empty();
        is_sent && (self.ended || self.body.is_end_stream())
    }
}

impl<B: Body + Unpin> Live<B> {
    /// Reads the body into memory. Returns `None` if it is too large or broken.
    pub(super) fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<Option<Held>> {
        let mut frames = 0..MAX_FRAMES_A_POLL;
        while !self.ended && !self.body.is_end_stream() {
            if frames.next().is_none() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let is_broken = matches!(self.read.back(), Some(Err(_)));
            // The size hint of a body may be wrong.
            if is_broken || self.size > self.limit {
                return Poll::Ready(None);
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                self.ended = true;
                break;
            };
            match frame.map(|frame| into_bytes(frame).into_data()) {
                // The usual case, which needs no queue.
                Ok(Ok(data)) if self.is_all(&data) => return Poll::Ready(Some(Held::new(data))),
                // The limit counts bytes, so any number of empty frames would pass it.
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => self.push_data(data),
                Ok(Err(frame)) => self.push(Ok(frame)),
                Err(error) => self.push(Err(error)),
            }
        }
        self.seal();
        // A body that ended early must not pass for a shorter whole body.
        let is_whole = self.size >= self.hint.lower() && self.size <= self.limit;
        if !is_whole || self.read.iter().any(Result::is_err) {
            return Poll::Ready(None);
        }
        let read = mem::take(&mut self.read);
        Poll::Ready(Some(Held::join(read.into_iter().filter_map(Result::ok))))
    }

    /// Whether `data` is the whole body.
    fn is_all(&self, data: &Bytes) -> bool {
        self.size == 0
            && self.read.is_empty()
            && self.body.is_end_stream()
            && (self.hint.lower()..=self.limit).contains(&(data.len() as u64))
    }

    /// Whether the whole body may fit into the limit.
    pub(super) fn may_fit(&self) -> bool {
        self.read.iter().all(Result::is_ok) && self.hint.lower().max(self.size) <= self.limit
    }

    /// Records the body from now on.
    pub(super) fn record(mut self) -> Recording<B> {
        // Bytes that the caller has read already are not sent.
        let hint = self.size_hint();
        self.seal();
        let read = self.read.into_iter().filter_map(Result::ok);
        Recording::new(self.body, self.ended, hint, self.limit, read)
    }

    /// Records data, and stops the recording beyond the limit.
    fn push_data(&mut self, data: Bytes) {
        self.size += data.len() as u64;
        if data.len() >= SMALL {
            return self.push(Ok(Frame::data(data)));
        }
        self.tail.extend_from_slice(&data);
        if self.tail.len() >= CHUNK {
            self.seal();
        }
    }

    /// Records a frame or an error that was read ahead.
    fn push(&mut self, frame: Result<Frame<Bytes>, B::Error>) {
        self.seal();
        self.read.push_back(frame);
    }

    /// Makes a frame of the tail.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let data = self.tail.split().freeze();
            self.read.push_back(Ok(Frame::data(data)));
        }
    }

    /// Yields the next frame to the first attempt, and records it.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B::Error: Into<BoxError>,
    {
        if self.read.is_empty() {
            self.seal();
        }
        let frame = match self.read.pop_front() {
            Some(frame) => {
                self.size -= data_len(frame.as_ref().ok());
                Some(frame)
            }
            None if self.ended => None,
            None => {
                let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
                frame.map(|frame| frame.map(into_bytes))
            }
        };
        let sent = frame.as_ref().and_then(|frame| frame.as_ref().ok());
        self.sent += data_len(sent);
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}
