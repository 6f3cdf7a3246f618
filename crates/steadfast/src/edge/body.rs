use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::{BoxError, Classified, LateVerdict};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::with_read;
use crate::edge::limits::Limit;
use crate::edge::stream::Stream;
use crate::edge::transport::classified_body;

/// The body of an answer: what was read of it already, and the rest, whose time is bounded.
pub(crate) struct EdgeBody<B> {
    read: VecDeque<Frame<Bytes>>,
    /// Absent once it has ended.
    rest: Option<B>,
    clock: Clock,
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer runs for the read that is pending now, since that instant.
    pending: Option<(Limit, Instant)>,
    /// What broke it, to be told after what was read before.
    broken: Option<BoxError>,
    watched: Option<Watched>,
}

/// A stream whose events are looked into as they pass.
struct Watched {
    stream: Stream,
    late: LateVerdict,
    /// How long it may only say that the server is there, and how much of that is left.
    alive: Duration,
    left: Duration,
}

/// How long to wait for the next frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// Until an instant, whatever comes before.
    Until(Limit),
    /// The same, but a reader who asks only later gets so long: that it is slow is no fault of the
    /// endpoint.
    UntilOr(Limit, Duration),
    /// For so long, again for each frame; less if what is left of a stream's `alive` is less.
    Idle(Duration),
}

impl<B> EdgeBody<B> {
    pub(crate) fn new(rest: B, clock: Clock) -> Self {
        Self {
            read: VecDeque::new(),
            rest: Some(rest),
            clock,
            timer: None,
            pending: None,
            broken: None,
            watched: None,
        }
    }

    /// Puts back a frame that was read to look at it. Frames come in the order they were read.
    pub(crate) fn put_back(&mut self, frame: Frame<Bytes>) {
        self.read.push_back(frame);
    }

    /// Changes how long to wait from here on.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.pending = None;
    }

    /// Tells of an error after the frames that were put back.
    pub(crate) fn put_back_error(&mut self, error: BoxError) {
        self.broken = Some(error);
    }

    /// Looks into the frames that come from here on, and tells `late` if one of them says that the
    /// endpoint failed, or one before them has. Pings and comments may fill `alive`.
    pub(crate) fn watch(&mut self, stream: Stream, late: LateVerdict, alive: Duration) {
        if let Some(verdict) = stream.failed() {
            late.set(verdict);
        }
        self.watched = Some(Watched {
            stream,
            late,
            alive,
            left: alive,
        });
    }
}

impl<B> EdgeBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Reads a frame past those that were put back.
    pub(crate) fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(rest).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let late = ready!(self.poll_late(cx));
                self.rest = None;
                return Poll::Ready(Some(Err(late.into())));
            }
        };
        if let (Some((_, since)), Some(watched)) = (self.pending.take(), &mut self.watched) {
            watched.left = watched.left.saturating_sub(since.elapsed());
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => {
                self.rest = None;
                Some(Err(classified_body(error.into())))
            }
            None => {
                self.rest = None;
                None
            }
        })
    }

    /// Waits until the pending read is late. Time runs only while a read is pending, as a slow
    /// reader is no slow endpoint.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Classified> {
        let limit = match self.pending {
            Some((limit, _)) => limit,
            None => {
                let now = Instant::now();
                let limit = match (self.clock, &self.watched) {
                    (Clock::Until(limit), _) => limit,
                    (Clock::UntilOr(limit, _), _) if limit.at > now => limit,
                    (Clock::Idle(idle), Some(watched)) if watched.left < idle => {
                        Limit::idle(watched.left, watched.alive)
                    }
                    (Clock::UntilOr(_, idle) | Clock::Idle(idle), _) => Limit::idle(idle, idle),
                };
                match &mut self.timer {
                    Some(timer) => timer.as_mut().reset(limit.at),
                    None => self.timer = Some(Box::pin(sleep_until(limit.at))),
                }
                self.pending = Some((limit, now));
                limit
            }
        };
        let timer = self.timer.as_mut().expect("it was set with the limit");
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(limit.error())
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
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(self.poll_rest(cx));
        let Some(watched) = &mut self.watched else {
            return Poll::Ready(frame);
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watched.stream.read(data);
                    if watched.stream.take_moved() {
                        watched.left = watched.alive;
                    }
                    // Its reader may stop at this frame.
                    if let Some(verdict) = watched.stream.failed() {
                        watched.late.set(verdict);
                    }
                }
            }
            Some(Err(_)) => self.watched = None,
            // The connection ended in order; that is not yet the end of an answer.
            None => {
                watched.stream.finish();
                let broken = watched.stream.broken();
                self.watched = None;
                return Poll::Ready(broken.map(|broken| Err(broken.into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.broken.is_none()
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
            && (self.watched.as_ref()).is_none_or(|watched| watched.stream.broken().is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self
            .rest
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint);
        with_read(&rest, self.read.iter().filter_map(Frame::data_ref))
    }
}

impl<B> fmt::Debug for EdgeBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeBody").finish_non_exhaustive()
    }
}
