//! Signs of life for the caller of a buffered stream.
//!
//! A buffered stream is complete before its head is known. Clients and proxies give up long before
//! that, so the head of a stream goes out after a while, and comments follow until the answer is
//! known.

mod answer;
mod body;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use steadfast_balance::PoolHandle;
use steadfast_core::BoxError;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use self::answer::wait_for;
use self::body::KeptAlive;
use crate::answers::StreamMode;
use crate::body::{AnyBody, ResponseBody};
use crate::error_format::{ErrorEvent, OPENAI_EVENT};
use crate::respond::format_of;

/// The time between two signs of life, and the time until the first one. Clients and proxies wait
/// for a head for 10 s or longer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The request of a buffered stream waits for its answer. In the extensions of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Reports that the answer is to be a stream. Its head may go out early.
    pub(crate) fn expect_stream(&self) {
        // The flag guards no other memory.
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stream(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sends comments to the callers of buffered streams.
#[derive(Clone, Debug)]
pub(crate) struct KeepAlive<S> {
    pub(crate) inner: S,
    /// The request root, which decides about the format of errors.
    pub(crate) endpoints: PoolHandle,
    /// When streams are passed on, if the request has no mode of its own.
    pub(crate) streams: StreamMode,
}

pin_project! {
    /// The response future of [`KeepAlive`].
    #[project = KeepAliveProj]
    pub(crate) enum KeepAliveFuture<F> {
        Direct { #[pin] future: F },
        // Boxed, so that the body can take it over. `None` after that.
        Buffered { pending: Option<Pending<F>> },
    }
}

/// The pending answer of a buffered stream.
pub(crate) struct Pending<F> {
    future: Pin<Box<F>>,
    timer: Pin<Box<Sleep>>,
    waiting: Waiting,
    format: ErrorEvent,
}

impl<S> Service<Request<AnyBody>> for KeepAlive<S>
where
    S: Service<Request<AnyBody>, Response = Response<ResponseBody>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = KeepAliveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    /// Sends the request. The answer to a buffered stream begins with comments if it is late.
    fn call(&mut self, mut request: Request<AnyBody>) -> Self::Future {
        let own = request.extensions().get().copied();
        if own.unwrap_or(self.streams) != StreamMode::Buffered {
            let future = self.inner.call(request);
            return KeepAliveFuture::Direct { future };
        }
        let waiting = Waiting::default();
        request.extensions_mut().insert(waiting.clone());
        let format = format_of(&self.endpoints, request.uri().path()).event;
        let format = format.unwrap_or(OPENAI_EVENT);
        let pending = Pending::new(self.inner.call(request), waiting, format);
        KeepAliveFuture::Buffered {
            pending: Some(pending),
        }
    }
}

impl<F> Future for KeepAliveFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, BoxError>> + Send + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let pending = match self.project() {
            KeepAliveProj::Direct { future } => return future.poll(cx),
            KeepAliveProj::Buffered { pending } => pending,
        };
        let waited = pending.as_mut().expect("polled after its end");
        if let Some(outcome) = ready!(waited.poll(cx)) {
            return Poll::Ready(outcome);
        }
        let Pending { future, format, .. } = pending.take().expect("it was just polled");
        Poll::Ready(Ok(early(wait_for(future, format))))
    }
}

impl<F: Future> Pending<F> {
    /// Starts the time until the first sign of life.
    fn new(future: F, waiting: Waiting, format: ErrorEvent) -> Self {
        Self {
            future: Box::pin(future),
            timer: Box::pin(sleep(KEEP_ALIVE)),
            waiting,
            format,
        }
    }

    /// Waits for the answer. Returns `None` if the head of a stream must go out before it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        loop {
            if let Poll::Ready(outcome) = self.future.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.waiting.is_stream() {
                return Poll::Ready(None);
            }
            self.timer.set(sleep(KEEP_ALIVE));
        }
    }
}

/// Returns the head of a stream before its answer is known.
fn early(answer: impl Future<Output = answer::Answer> + Send + 'static) -> Response<ResponseBody> {
    let body = KeptAlive::new(Box::pin(answer), KEEP_ALIVE);
    let mut response = Response::new(ResponseBody::new(body));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl<F> fmt::Debug for KeepAliveFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAliveFuture").finish_non_exhaustive()
    }
}
