//! One attempt: it waits for a response until the verdict is known.
//!
//! Of an error, the body is read. Of an answer that a dialect has, the body is read as well: it may
//! report a failure. Of a stream, the preamble is read.

use std::future::Future;
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, Classified, Classify, DefaultClassifier, Head, Verdict};
use steadfast_edge::{Clock, classified};
use tokio::time::{Instant, Sleep};

use crate::content_type;
use crate::dialect::Shape;
use crate::edge::asked::Asked;
use crate::edge::attempt_state::{Attempt, Outcome};
use crate::edge::body::EdgeBody;
use crate::edge::reading::{Reading, read_answer, read_error};
use crate::edge::unexpected::Unexpected;
use crate::edge::whole::{Progress, Stop};
use crate::encoding::Encoding;

/// The outcome of an attempt, or its next step.
///
/// A step that breaks is the last one.
type Next<F, B> = ControlFlow<Outcome<B>, Step<F, B>>;

pin_project! {
    /// The future of one attempt: it waits for the response until its verdict is known.
    ///
    /// The future of the client is dropped when it has returned the head. The body of an error is
    /// read without the pace: it has a short time of its own.
    #[project = AttemptProj]
    pub(crate) struct AttemptFuture<F, B>
    where
        B: Body<Data = Bytes>,
        B: Unpin,
        B::Error: Into<BoxError>,
    {
        #[pin]
        step: Step<F, B>,
        // Runs while the head or a whole answer is pending.
        #[pin]
        timer: Option<Sleep>,
        // Boxed, because the futures of the layers above contain this one. `None` after it.
        attempt: Option<Box<Attempt>>,
    }
}

pin_project! {
    /// The part of the response that the attempt waits for.
    #[project = StepProj]
    pub(super) enum Step<F, B>
    where
        B: Body<Data = Bytes>,
        B: Unpin,
        B::Error: Into<BoxError>,
    {
        // The head.
        Sending { #[pin] future: F },
        // The end of a whole answer. In place, because most attempts have one.
        Whole { response: Option<Response<EdgeBody<B>>>, progress: Progress },
        // The part of any other body that its verdict depends on.
        Reading { reading: Reading<B> },
        // The deadline has passed. The server would work, and bill, for nothing.
        Late { error: Option<Classified> },
    }
}

impl<F, B, E> Future for AttemptFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Outcome<B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<B>> {
        // The present, as long as no part was pending since the head: it spares reads of the clock.
        let mut now = None;
        loop {
            match ready!(self.as_mut().poll_step(&mut now, cx)) {
                Continue(step) => self.as_mut().begin(step),
                Break(outcome) => {
                    self.end();
                    return Poll::Ready(outcome);
                }
            }
        }
    }
}

impl<F, B, E> AttemptFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Begins the next step.
    fn begin(self: Pin<&mut Self>, step: Step<F, B>) {
        let mut this = self.project();
        this.step.set(step);
        if this.attempt.is_none() {
            // The reading has a timer of its own.
            this.timer.set(None);
        }
    }

    /// Drops the future of the client and the state of the attempt, which is over.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.attempt = None;
        this.step.set(Step::Late { error: None });
    }

    /// Polls the present step. Returns the next step, or the outcome of the attempt.
    ///
    /// `now` is the present, if it is known. A pending part that is late is an error.
    fn poll_step(
        self: Pin<&mut Self>,
        now: &mut Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Next<F, B>> {
        let this = self.project();
        let is_head = match this.step.project() {
            StepProj::Sending { future } => match future.poll(cx) {
                Poll::Ready(Ok(response)) => {
                    let head = now.insert(Instant::now());
                    return Poll::Ready(Step::after_head(this.attempt, response, *head));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Break(Err(classified(error.into()))));
                }
                Poll::Pending => true,
            },
            StepProj::Whole { response, progress } => {
                let streaming = running(this.attempt).limits.streaming;
                let body = response.as_mut().map(Response::body_mut);
                let body = body.expect("polled after it was ready");
                if let Poll::Ready(stop) = progress.poll_read(body, streaming, cx) {
                    let response = response.take().expect("it was read");
                    return Poll::Ready(Step::after_whole(this.attempt, response, stop, *now));
                }
                false
            }
            StepProj::Reading { reading } => return reading.as_mut().poll(cx).map(Break),
            StepProj::Late { error } => {
                let error = error.take().expect("polled after it was ready");
                return Poll::Ready(Break(Err(error.into())));
            }
        };
        let late = ready!(poll_late(this.attempt, this.timer, is_head, cx));
        Poll::Ready(Break(Err(late)))
    }
}

impl<F, B> AttemptFuture<F, B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Waits for the response that `future` of a client yields.
    pub(crate) fn new(future: F, attempt: Attempt) -> Self {
        Self {
            step: Step::Sending { future },
            timer: None,
            attempt: Some(Box::new(attempt)),
        }
    }

    /// Fails an attempt that has no time left.
    pub(crate) fn late(error: Classified) -> Self {
        let error = Some(error);
        Self {
            step: Step::Late { error },
            timer: None,
            attempt: None,
        }
    }
}

/// Waits until a pending part is late, and reports meanwhile that it is slow. Only the head has a
/// limit here.
fn poll_late(
    attempt: &mut Option<Box<Attempt>>,
    timer: Pin<&mut Option<Sleep>>,
    is_head: bool,
    cx: &mut Context<'_>,
) -> Poll<BoxError> {
    let attempt = running(attempt);
    let limit = is_head.then_some(attempt.limits.head);
    let late = ready!(attempt.pace.poll_late(limit, timer, cx));
    Poll::Ready(late.into())
}

/// Returns the attempt of a future that is not complete.
fn running(attempt: &mut Option<Box<Attempt>>) -> &mut Attempt {
    attempt.as_deref_mut().expect("polled after it was ready")
}

impl<F, B> Step<F, B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Judges the head of a response that has come at this instant.
    ///
    /// Breaks with the outcome if the body does not count: the client has its own class, or a rule
    /// of the user holds for the head. An unexpected status of a known operation is an error.
    fn after_head(
        attempt: &mut Option<Box<Attempt>>,
        response: Response<B>,
        now: Instant,
    ) -> Next<F, B> {
        let own = running(attempt);
        let clock = Clock::Until(own.limits.total);
        let mut response = response.map(|body| EdgeBody::new(body, clock));
        own.pace.answered(now);
        if is_final(&response) {
            return Break(Ok(response));
        }
        if let Some(unexpected) = Unexpected::of(response.status(), own.limits.known) {
            return Break(Err(unexpected.classified().into()));
        }
        let verdict = verdict_of(Ok(&response));
        if verdict.is_success() {
            if let Some(verdict) = own.asked.by_rule(&response, b"") {
                response.extensions_mut().insert(verdict);
                return Break(Ok(response));
            }
            return Self::after_success(attempt, response, now);
        }
        let state = attempt.take().expect("it is running");
        let reading: Reading<B> = Box::pin(async move {
            // The pace ends with the attempt.
            let state = state;
            Ok(read_error(response, verdict, &state.asked).await)
        });
        Continue(Self::Reading { reading })
    }

    /// Returns the step after the head of a success.
    ///
    /// A plain answer is read in place. Breaks if the body is passed on unread.
    fn after_success(
        attempt: &mut Option<Box<Attempt>>,
        mut response: Response<EdgeBody<B>>,
        now: Instant,
    ) -> Next<F, B> {
        let own = running(attempt);
        if own.asked.shape_of(&response).is_some() {
            response.body_mut().set_now(now);
            let (response, progress) = (Some(response), Progress::default());
            return Continue(Self::Whole { response, progress });
        }
        let is_stream = is_stream(&response);
        if !is_stream && own.asked.passes(&response) {
            own.pace.succeeded(now);
            return Break(Ok(response));
        }
        Continue(Self::read(attempt, response, is_stream))
    }

    /// Reads an answer apart. `is_stream` holds for readable events.
    fn read(
        attempt: &mut Option<Box<Attempt>>,
        response: Response<EdgeBody<B>>,
        is_stream: bool,
    ) -> Self {
        let attempt = attempt.take().expect("it is running");
        let reading = Box::pin(read_answer(attempt, response, is_stream));
        Self::Reading { reading }
    }

    /// Judges a whole answer that was read, and records its latency unless it is a failure.
    ///
    /// `now` is the present, if it is known. The start of a stream is read further.
    fn after_whole(
        attempt: &mut Option<Box<Attempt>>,
        mut response: Response<EdgeBody<B>>,
        stop: Result<Stop, BoxError>,
        now: Option<Instant>,
    ) -> Next<F, B> {
        let own = running(attempt);
        let is_good = match stop {
            Ok(Stop::Events) => return Continue(Self::read(attempt, response, true)),
            Ok(Stop::TooLarge) => true,
            Ok(Stop::End) => own.asked.check(&mut response).is_none(),
            Err(error) => return Break(Err(error)),
        };
        if is_good {
            own.pace.succeeded(now.unwrap_or_else(Instant::now));
        }
        Break(Ok(response))
    }
}

/// Returns whether an answer is a stream of events that can be read.
fn is_stream<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    content_type::is_events(headers) && Encoding::of(headers).is_none()
}

/// Returns whether the client has its own class for the response. Then the body decides nothing.
fn is_final<B>(response: &Response<B>) -> bool {
    let given = response.extensions().get::<Verdict>();
    given.is_some_and(|given| {
        let head = Head::new(response.status(), response.headers());
        given.class() != DefaultClassifier.classify(Ok(head)).class()
    })
}

impl Asked {
    /// Returns whether an answer that is no readable stream is passed on unread, as it is.
    fn passes<B>(&self, response: &Response<B>) -> bool {
        let is_read = self.shape.is_some() && self.is_checked();
        !is_read && self.creates.is_none() && !content_type::is_events(response.headers())
    }

    /// Returns the shape of a successful answer that is read to its end and checked in place.
    ///
    /// An encoded answer is decoded on another thread, and a stream has a preamble. Both are read
    /// apart.
    fn shape_of<B>(&self, response: &Response<B>) -> Option<Shape> {
        let shape = self.shape.filter(|_| self.is_checked())?;
        let headers = response.headers();
        let is_plain = !content_type::is_events(headers) && Encoding::of(headers).is_none();
        (is_plain && response.status().is_success()).then_some(shape)
    }
}
