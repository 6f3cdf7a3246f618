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
use tokio::time::Instant;

use crate::content_type;
use crate::dialect::Shape;
use crate::edge::asked::Asked;
use crate::edge::attempt_state::{Attempt, Outcome, Running};
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
        // Boxed, because the futures of the layers above contain this one. `None` after it.
        attempt: Option<Pin<Box<Attempt>>>,
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
        // Whether no part was pending since the head. This spares reads of the clock.
        let mut with_head = false;
        loop {
            match ready!(self.as_mut().poll_step(&mut with_head, cx)) {
                Continue(step) => self.as_mut().project().step.set(step),
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
    /// Drops the future of the client and the state of the attempt, which is over.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.attempt = None;
        this.step.set(Step::Late { error: None });
    }

    /// Polls the present step. Returns the next step, or the outcome of the attempt.
    ///
    /// `with_head` holds from the head until a part is pending. A pending part that is late is an
    /// error.
    fn poll_step(
        self: Pin<&mut Self>,
        with_head: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Next<F, B>> {
        let this = self.project();
        let is_head = match this.step.project() {
            StepProj::Sending { future } => match future.poll(cx) {
                Poll::Ready(Ok(response)) => {
                    *with_head = true;
                    let now = Instant::now();
                    return Poll::Ready(Step::after_head(this.attempt, response, now));
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Break(Err(classified(error.into()))));
                }
                Poll::Pending => true,
            },
            StepProj::Whole { response, progress } => {
                let own = running(this.attempt);
                let (streaming, memory) = (own.limits.streaming, &own.asked.settings.shared.memory);
                let body = response.as_mut().map(Response::body_mut);
                let body = body.expect("polled after it was ready");
                if let Poll::Ready(stop) = progress.poll_read(body, streaming, memory, cx) {
                    let response = response.take().expect("it was read");
                    let next = Step::after_whole(this.attempt, response, stop, *with_head);
                    return Poll::Ready(next);
                }
                false
            }
            StepProj::Reading { reading } => return reading.as_mut().poll(cx).map(Break),
            StepProj::Late { error } => {
                let error = error.take().expect("polled after it was ready");
                return Poll::Ready(Break(Err(error.into())));
            }
        };
        let late = ready!(poll_late(this.attempt, is_head, cx));
        Poll::Ready(Break(Err(late)))
    }
}

impl<F, B> AttemptFuture<F, B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Waits for the response that `future` of a client yields.
    pub(crate) fn new(future: F, attempt: Pin<Box<Attempt>>) -> Self {
        Self {
            step: Step::Sending { future },
            attempt: Some(attempt),
        }
    }

    /// Fails an attempt that has no time left.
    pub(crate) fn late(error: Classified) -> Self {
        let error = Some(error);
        Self {
            step: Step::Late { error },
            attempt: None,
        }
    }
}

/// Waits until a pending part is late, and reports meanwhile that it is slow. Only the head has a
/// limit here.
fn poll_late(
    attempt: &mut Option<Pin<Box<Attempt>>>,
    is_head: bool,
    cx: &mut Context<'_>,
) -> Poll<BoxError> {
    let own = running(attempt);
    let limit = is_head.then_some(own.limits.head);
    let late = ready!(own.pace.poll_late(limit, own.timer, cx));
    Poll::Ready(late.into())
}

/// Returns the attempt of a future that is not complete.
fn running(attempt: &mut Option<Pin<Box<Attempt>>>) -> Running<'_> {
    let attempt = attempt.as_mut().expect("polled after it was ready");
    attempt.as_mut().project()
}

/// Takes the attempt for a reading, which has a timer of its own.
fn taken(attempt: &mut Option<Pin<Box<Attempt>>>) -> Pin<Box<Attempt>> {
    let mut attempt = attempt.take().expect("it is running");
    attempt.as_mut().project().timer.set(None);
    attempt
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
        attempt: &mut Option<Pin<Box<Attempt>>>,
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
        let state = taken(attempt);
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
        attempt: &mut Option<Pin<Box<Attempt>>>,
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
            own.pace.succeeded(true);
            return Break(Ok(response));
        }
        Continue(Self::read(attempt, response, is_stream))
    }

    /// Reads an answer apart. `is_stream` holds for readable events.
    fn read(
        attempt: &mut Option<Pin<Box<Attempt>>>,
        response: Response<EdgeBody<B>>,
        is_stream: bool,
    ) -> Self {
        let attempt = taken(attempt);
        let reading = Box::pin(read_answer(attempt, response, is_stream));
        Self::Reading { reading }
    }

    /// Judges a whole answer that was read, and records its latency unless it is a failure.
    ///
    /// The answer may have come with its head. The start of a stream is read further.
    fn after_whole(
        attempt: &mut Option<Pin<Box<Attempt>>>,
        mut response: Response<EdgeBody<B>>,
        stop: Result<Stop, BoxError>,
        with_head: bool,
    ) -> Next<F, B> {
        let own = running(attempt);
        let is_good = match stop {
            Ok(Stop::Events) => return Continue(Self::read(attempt, response, true)),
            Ok(Stop::TooLarge) => true,
            Ok(Stop::End) => own.asked.check(&mut response).is_none(),
            Err(error) => return Break(Err(error)),
        };
        if is_good {
            own.pace.succeeded(with_head);
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
