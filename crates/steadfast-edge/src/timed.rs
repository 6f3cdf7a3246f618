//! The time limits of a response body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use steadfast_core::layer::saturating_add;
use steadfast_core::{BoxError, Classified};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::errors::classified_body;
use crate::limit::Limit;

/// The body of a client's response, with a limit for each read. It must not be polled after its
/// end or an error.
pub struct TimedBody<B> {
    /// The body of the client.
    inner: B,
    /// The limit of the next read.
    clock: Clock,
    /// Runs while a read is pending. Kept for the next read.
    timer: Option<Pin<Box<Sleep>>>,
    /// The limit of the pending read, and its start.
    pending: Option<(Limit, Instant)>,
    /// The bound of pings, for a stream.
    alive: Option<Alive>,
    /// The limit of all reads that does not move.
    deadline: Option<Limit>,
    /// The time of the last frame, for a clock that runs for all frames together.
    last: Option<Instant>,
    /// The present, if the next read follows at once.
    now: Option<Instant>,
}

/// The reader is slow if it is absent for this time between two frames. The short times between the
/// frames of an endless answer count as time of its endpoint.
const ABSENCE: Duration = Duration::from_secs(1);

/// The bound for a stream that sends nothing but pings.
struct Alive {
    /// The longest time.
    bound: Duration,
    /// The time that is left.
    left: Duration,
}

/// How long to wait for the next frame.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// Until an instant, for all frames together. The instant moves by each long absence of the
    /// reader: a slow reader is not a slow endpoint.
    Until(Limit),
    /// For this time, again for each frame, and at most for the rest of a stream's alive bound.
    Idle(Duration),
    /// The same, with bounds that the caller has set for its request. A late frame is then no
    /// failure of the endpoint.
    IdleOfCaller(Duration),
}

impl<B> TimedBody<B> {
    /// Wraps the body of a response.
    #[must_use]
    pub fn new(inner: B, clock: Clock) -> Self {
        Self {
            inner,
            clock,
            timer: None,
            pending: None,
            alive: None,
            deadline: None,
            last: None,
            now: None,
        }
    }

    /// Sets the present for a read that follows at once. If that read has a frame, it needs no
    /// clock.
    pub fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Ends each read at `limit` or later, also if the reader is slow, and if the bytes of an
    /// endless answer arrive without a pause.
    #[must_use]
    pub(crate) fn deadline(mut self, limit: Option<Limit>) -> Self {
        self.deadline = limit;
        self
    }

    /// Changes the limit of the reads that follow.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.pending = None;
        self.last = None;
    }

    /// Bounds the time that pings and comments may fill.
    pub fn set_alive(&mut self, bound: Duration) {
        self.alive = Some(Alive { bound, left: bound });
    }

    /// Starts the alive bound again: the stream sent more than a ping.
    pub fn restart_alive(&mut self) {
        if let Some(alive) = &mut self.alive {
            alive.left = alive.bound;
        }
    }

    /// Waits until the pending read is late. Time runs only while a read is pending, since a slow
    /// reader is not a slow endpoint.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Classified> {
        self.now = None;
        let limit = match self.pending {
            Some((limit, _)) => limit,
            None => {
                let now = Instant::now();
                self.skip_absence(now);
                self.start_timer(now)
            }
        };
        let timer = self.timer.as_mut().expect("it was set with the limit");
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(limit.error())
    }

    /// Moves the limit of all frames by a long absence of the reader since the last frame.
    fn skip_absence(&mut self, now: Instant) {
        let Some(last) = self.last.take() else {
            return;
        };
        let absence = now.saturating_duration_since(last);
        if let (Clock::Until(limit), true) = (&mut self.clock, absence >= ABSENCE) {
            limit.at = saturating_add(limit.at, absence);
        }
    }

    /// Returns the limit or the deadline of all frames, if a frame that arrives now is late.
    fn passed(&mut self) -> Option<Limit> {
        let now = self.now.take();
        let moves = !matches!(self.clock, Clock::Until(_));
        if moves && self.deadline.is_none() {
            return None;
        }
        let now = now.unwrap_or_else(Instant::now);
        self.skip_absence(now);
        self.last = Some(now);
        let limit = match self.clock {
            Clock::Until(limit) => limit.or_sooner(self.deadline),
            Clock::Idle(_) | Clock::IdleOfCaller(_) => self.deadline?,
        };
        (limit.at <= now).then_some(limit)
    }

    /// Returns the limit of a pause that begins now.
    fn idle(&self, idle: Duration, of_caller: bool) -> Limit {
        match &self.alive {
            Some(alive) if alive.left < idle => Limit::idle(alive.left, alive.bound, of_caller),
            _ => Limit::idle(idle, idle, of_caller),
        }
    }

    /// Starts the limit of a read that is pending now.
    fn start_timer(&mut self, now: Instant) -> Limit {
        let limit = match self.clock {
            Clock::Until(limit) => limit,
            Clock::Idle(idle) => self.idle(idle, false),
            Clock::IdleOfCaller(idle) => self.idle(idle, true),
        };
        let limit = limit.or_sooner(self.deadline);
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(limit.at),
            None => self.timer = Some(Box::pin(sleep_until(limit.at))),
        }
        self.pending = Some((limit, now));
        limit
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            let late = ready!(self.poll_late(cx));
            return Poll::Ready(Some(Err(late.into())));
        };
        let pending = self.pending.take();
        if let (Some((_, since)), Some(alive)) = (pending, &mut self.alive) {
            alive.left = alive.left.saturating_sub(since.elapsed());
        }
        // The bytes of an endless answer may arrive without a pause.
        if let Some(Ok(_)) = frame {
            if let Some(limit) = self.passed() {
                return Poll::Ready(Some(Err(limit.error().into())));
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| classified_body(error.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for TimedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedBody").finish_non_exhaustive()
    }
}
