//! One attempt: it waits for a response until the verdict is known.
//!
//! Of an error, the body is read. Of an answer that a dialect has, the body is read as well: it may
//! report a failure. Of a stream, the preamble is read.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, Classified, Classify, DefaultClassifier, Head, Verdict};
use steadfast_edge::{Clock, classified};
use tokio::time::{Instant, Sleep, timeout_at};

use crate::content_type;
use crate::dialect::refine;
use crate::edge::asked::Asked;
use crate::edge::body::{EdgeBody, FRAME};
use crate::edge::limits::Limits;
use crate::edge::pace::Pace;
use crate::edge::preamble::read_preamble;
use crate::edge::unexpected::Unexpected;
use crate::edge::whole::read_whole;
use crate::encoding::{Encoding, Undecoded};

/// The part of an error body that is read, at most.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// The time for that, at most: another endpoint may be ready to serve the request.
const ERROR_BODY_TIME: Duration = Duration::from_millis(250);

/// Reads the body of a response until its verdict is known.
type Reading<B> = Pin<Box<dyn Future<Output = Outcome<B>> + Send>>;
/// The outcome of an attempt.
type Outcome<B> = Result<Response<EdgeBody<B>>, BoxError>;

pin_project! {
    /// The future of one attempt: it waits for the response until its verdict is known.
    ///
    /// The future of the client is dropped when it has returned the head. The body of an error is
    /// read without the pace: it has a short time of its own.
    #[project = Projected]
    pub(crate) enum AttemptFuture<F, B>
    where
        B: Body<Data = Bytes>,
        B: Unpin,
        B::Error: Into<BoxError>,
    {
        // The head of the response is pending.
        Sending {
            #[pin]
            future: F,
            // Runs while the head is pending.
            #[pin]
            timer: Option<Sleep>,
            // Boxed, because the futures of the layers above contain this one.
            attempt: Option<Box<Attempt>>,
        },
        Reading { reading: Reading<B> },
        // The deadline has passed. The server would work, and bill, for nothing.
        Late { error: Option<Classified> },
    }
}

/// The state of an attempt beside the future of its client.
pub(crate) struct Attempt {
    /// The instants at which its parts are late.
    pub(crate) limits: Limits,
    /// Compares it with the usual latencies.
    pub(crate) pace: Pace,
    /// Its request.
    pub(crate) asked: Asked,
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
        loop {
            let next = match self.as_mut().project() {
                Projected::Sending {
                    future,
                    timer,
                    attempt,
                } => ready!(poll_head(future, timer, attempt, cx)),
                Projected::Reading { reading } => return reading.as_mut().poll(cx),
                Projected::Late { error } => {
                    let error = error.take().expect("polled after it was ready");
                    return Poll::Ready(Err(error.into()));
                }
            };
            match next {
                ControlFlow::Continue(reading) => self.set(Self::Reading { reading }),
                ControlFlow::Break(outcome) => return Poll::Ready(outcome),
            }
        }
    }
}

/// Waits for the head of the response, and judges it. Breaks with the outcome if the body does not
/// count.
fn poll_head<F, B, E>(
    future: Pin<&mut F>,
    timer: Pin<&mut Option<Sleep>>,
    attempt: &mut Option<Box<Attempt>>,
    cx: &mut Context<'_>,
) -> Poll<ControlFlow<Outcome<B>, Reading<B>>>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let state = attempt.as_mut().expect("polled after it was ready");
    let Poll::Ready(outcome) = future.poll(cx) else {
        let limit = Some(state.limits.head);
        let late = ready!(state.pace.poll_late(limit, timer, cx));
        return Poll::Ready(ControlFlow::Break(Err(late.into())));
    };
    let attempt = attempt.take().expect("it was borrowed");
    Poll::Ready(match outcome {
        Ok(response) => attempt.answered(response),
        Err(error) => ControlFlow::Break(Err(classified(error.into()))),
    })
}

impl<F, B> AttemptFuture<F, B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Waits for the response that `future` of a client yields.
    pub(crate) fn new(future: F, attempt: Attempt) -> Self {
        Self::Sending {
            future,
            timer: None,
            attempt: Some(Box::new(attempt)),
        }
    }
}

impl Attempt {
    /// Judges the head of a response, as [`poll_head`] returns it.
    fn answered<B>(
        mut self: Box<Self>,
        response: Response<B>,
    ) -> ControlFlow<Outcome<B>, Reading<B>>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let clock = Clock::Until(self.limits.total);
        let mut response = response.map(|body| EdgeBody::new(body, clock));
        self.pace.answered();
        if is_final(&response) {
            return ControlFlow::Break(Ok(response));
        }
        if let Some(unexpected) = Unexpected::of(response.status(), self.limits.known) {
            return ControlFlow::Break(Err(unexpected.classified().into()));
        }
        let verdict = verdict_of(Ok(&response));
        if !verdict.is_success() {
            return ControlFlow::Continue(Box::pin(async move {
                // The pace ends with the attempt.
                let state = self;
                Ok(read_error(response, verdict, &state.asked).await)
            }));
        }
        if let Some(verdict) = self.asked.by_rule(&response, b"") {
            response.extensions_mut().insert(verdict);
            return ControlFlow::Break(Ok(response));
        }
        ControlFlow::Continue(Box::pin(self.read_answer(response)))
    }

    /// Reads an answer as far as its verdict depends on it, and records its latency.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the attempt. The latency of a slow attempt is recorded all the same.
    ///
    /// An `async fn` would move its large arguments once more.
    #[expect(
        clippy::manual_async_fn,
        reason = "the block keeps its arguments in place"
    )]
    fn read_answer<B>(
        mut self: Box<Self>,
        mut response: Response<EdgeBody<B>>,
    ) -> impl Future<Output = Outcome<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        async move {
            let attempt = &mut *self;
            let read = read(&mut response, &attempt.limits, &mut attempt.asked);
            attempt.pace.within(pin!(read)).await??;
            if verdict_of(Ok(&response)).is_success() {
                attempt.pace.succeeded();
            }
            Ok(response)
        }
    }
}

/// Reads the part of an answer that its kind requires: a stream up to its first visible token, a
/// checked answer to its end, and a new object up to its id.
///
/// The response keeps its frames.
async fn read<B>(
    response: &mut Response<EdgeBody<B>>,
    limits: &Limits,
    asked: &mut Asked,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let events = content_type::is_events(response.headers());
    match asked.shape {
        _ if events && Encoding::of(response.headers()).is_none() => {
            // Its state is larger than the one of a whole answer.
            Box::pin(read_preamble(response, limits, asked)).await
        }
        Some(shape) if asked.is_checked() && !events && response.status().is_success() => {
            read_whole(response, limits, asked, shape).await
        }
        _ => {
            if events {
                response.body_mut().set_clock(Clock::Idle(limits.idle));
            } else if let Some(creates) = &asked.creates {
                creates
                    .read_object(response, &asked.settings.endpoint)
                    .await;
            }
            Ok(())
        }
    }
}

/// Returns whether the client has its own class for the response. Then the body decides nothing.
fn is_final<B>(response: &Response<B>) -> bool {
    let given = response.extensions().get::<Verdict>();
    given.is_some_and(|given| {
        let head = Head::new(response.status(), response.headers());
        given.class() != DefaultClassifier.classify(Ok(head)).class()
    })
}

/// Reads the start of an error body, and refines the verdict by it.
async fn read_error<B>(
    mut response: Response<EdgeBody<B>>,
    verdict: Verdict,
    asked: &Asked,
) -> Response<EdgeBody<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let until = Instant::now() + ERROR_BODY_TIME;
    let body = response.body_mut();
    let mut text = BytesMut::new();
    let mut frames = 0;
    while text.len() + frames * FRAME < MAX_ERROR_BODY {
        match timeout_at(until, body.next_data()).await {
            Ok(Some(Some(data))) => {
                frames += 1;
                text.extend_from_slice(&data);
            }
            // The body has ended or failed, or it is late.
            Ok(_) | Err(_) => break,
        }
    }
    let head = (response.status(), response.headers());
    let encoding = Encoding::of(response.headers());
    let (text, decoded) = Encoding::decode(encoding.as_ref(), &text, MAX_ERROR_BODY);
    // A body that cannot be decoded looks like no JSON. It is not the page of a proxy for that.
    let is_readable = matches!(decoded, Ok(()) | Err(Undecoded::TooLong));
    let is_api = asked.shape.is_some() && is_readable;
    let verdict = refine(verdict, head, &text, &asked.context, is_api);
    response
        .extensions_mut()
        .insert(asked.context.text.mark(verdict));
    response
}
