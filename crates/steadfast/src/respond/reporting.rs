//! The body of a stream that reports its error in its last event.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use steadfast_core::BoxError;

use crate::body::{FRAME, ResponseBody};
use crate::error_format::ErrorEvent;
use crate::respond::blocks::Blocks;
use crate::respond::event::error_event;
use crate::respond::parting::Parting;
use crate::respond::reported::Reported;

/// A longer event is passed on before its end.
const MAX_HELD: usize = 256 * 1024;

/// A stream of whole events. If it breaks, its last event is the error.
pub(super) struct Reporting {
    body: ResponseBody,
    /// `None` if the reader gets no event about an error.
    format: Option<ErrorEvent>,
    blocks: Blocks,
    /// The frames to pass on, then the frames of the event that has not ended.
    frames: VecDeque<Frame<Bytes>>,
    /// The number of frames to pass on.
    ready: usize,
    /// The size of the other ones.
    held: usize,
    /// A part of the event that has not ended was passed on.
    torn: bool,
    end: End,
}

/// The end of a stream.
enum End {
    /// It has not come.
    Open,
    Complete,
    Broken(Parting),
}

impl Reporting {
    pub(super) fn new(body: ResponseBody, format: Option<ErrorEvent>) -> Self {
        Self {
            body,
            format,
            blocks: Blocks::default(),
            frames: VecDeque::new(),
            ready: 0,
            held: 0,
            torn: false,
            end: End::Open,
        }
    }

    /// Takes a frame of the body. Returns it if nothing of it is to be held.
    fn take(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        if self.format.is_none() {
            return Some(frame);
        }
        match frame.into_data() {
            Ok(data) => self.take_data(data),
            Err(trailers) => {
                // The end follows, which passes all frames on.
                self.frames.push_back(trailers);
                None
            }
        }
    }

    /// Takes data, and holds the part of it that is no whole event.
    fn take_data(&mut self, mut data: Bytes) -> Option<Frame<Bytes>> {
        let end = self.blocks.read(&data);
        let is_whole = end == data.len() && self.frames.is_empty();
        self.torn &= end == 0;
        if is_whole || self.torn {
            return Some(Frame::data(data));
        }
        let rest = data.split_off(end);
        if !data.is_empty() {
            self.frames.push_back(Frame::data(data));
            self.release();
        }
        self.held += FRAME + rest.len();
        if !rest.is_empty() {
            self.frames.push_back(Frame::data(rest));
        }
        if self.held > MAX_HELD {
            self.release();
            self.torn = true;
        }
        None
    }

    /// Passes all frames on.
    fn release(&mut self) {
        self.ready = self.frames.len();
        self.held = 0;
    }

    /// Ends the stream with an error, behind an event about it. The event that has not ended is
    /// dropped: its part would be no JSON.
    fn fail(&mut self, error: BoxError) {
        let is_silent = self.torn || Reported::marks(&error);
        if let Some(format) = self.format.filter(|_| !is_silent) {
            let event = error_event(&error, format, self.blocks.events());
            self.frames.clear();
            self.frames.push_back(Frame::data(event));
        }
        self.release();
        self.end = End::Broken(Parting::new(error));
    }
}

impl Body for Reporting {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(left) = self.ready.checked_sub(1) {
                self.ready = left;
                return Poll::Ready(self.frames.pop_front().map(Ok));
            }
            match &mut self.end {
                End::Open => {}
                End::Complete => return Poll::Ready(None),
                End::Broken(parting) => return parting.poll(cx),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(frame) = self.take(frame) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Some(Err(error)) => self.fail(error),
                None => {
                    // Some servers omit the blank line of the last event.
                    self.release();
                    self.end = End::Complete;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && match &self.end {
                End::Open => self.body.is_end_stream(),
                End::Complete => true,
                End::Broken(parting) => parting.is_past(),
            }
    }
}

#[cfg(test)]
mod tests;
