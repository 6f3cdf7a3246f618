use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A body with frames that were read ahead, before the body is passed on.
    ///
    /// As a [`Body`] it yields these frames, and then the rest. It ends after an error.
    pub struct ReadAhead<B: Body> {
        // In place: most bodies are one frame, which then needs no allocation.
        first: Option<Result<Frame<B::Data>, B::Error>>,
        // Behind the first one.
        more: VecDeque<Result<Frame<B::Data>, B::Error>>,
        // Absent after the end or an error.
        #[pin]
        rest: Option<B>,
    }
}

impl<B: Body> ReadAhead<B> {
    /// Wraps `body`, of which nothing has been read.
    pub fn new(body: B) -> Self {
        Self {
            first: None,
            more: VecDeque::new(),
            rest: Some(body),
        }
    }

    /// Reads one frame ahead and keeps it.
    ///
    /// Returns the outcome of the read, or `None` at the end of the body.
    pub fn poll_ahead(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<&Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(poll_rest(this.rest.as_mut(), cx));
        Poll::Ready(frame.map(|frame| {
            if this.first.is_none() && this.more.is_empty() {
                return &*this.first.insert(frame);
            }
            this.more.push_back(frame);
            &this.more[this.more.len() - 1]
        }))
    }

    /// Returns whether the wrapped body has ended or has failed.
    pub fn is_read(&self) -> bool {
        self.rest.is_none()
    }

    /// Returns the frames that were read ahead and not yet yielded, in their order.
    pub fn frames(&self) -> impl Iterator<Item = &Result<Frame<B::Data>, B::Error>> {
        self.first.iter().chain(&self.more)
    }

    /// Removes the frame or error that was read ahead last.
    #[must_use]
    pub fn take_last(self: Pin<&mut Self>) -> Option<Result<Frame<B::Data>, B::Error>> {
        let this = self.project();
        this.more.pop_back().or_else(|| this.first.take())
    }

    /// Returns the wrapped body, unless it has ended or has failed.
    pub fn rest(&self) -> Option<&B> {
        self.rest.as_ref()
    }

    /// Returns the wrapped body, unless it has ended or has failed.
    #[must_use]
    pub fn rest_mut(self: Pin<&mut Self>) -> Option<Pin<&mut B>> {
        self.project().rest.as_pin_mut()
    }
}

impl<B: Body> Body for ReadAhead<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        match this.first.take().or_else(|| this.more.pop_front()) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => poll_rest(this.rest, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames().next().is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref();
        let rest = rest.map_or(SizeHint::with_exact(0), Body::size_hint);
        let ahead: u64 = (self.frames().flatten())
            .filter_map(Frame::data_ref)
            .map(|data| bytes::Buf::remaining(data) as u64)
            .sum();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

fn poll_rest<B: Body>(
    mut rest: Pin<&mut Option<B>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
    let Some(body) = rest.as_mut().as_pin_mut() else {
        return Poll::Ready(None);
    };
    let frame = ready!(body.poll_frame(cx));
    if !matches!(frame, Some(Ok(_))) {
        rest.set(None);
    }
    Poll::Ready(frame)
}

/// Frames are not printed: they may be secret.
impl<B: Body> fmt::Debug for ReadAhead<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead")
            .field("frames", &self.frames().count())
            .field("is_read", &self.is_read())
            .finish()
    }
}

#[cfg(test)]
mod tests;
