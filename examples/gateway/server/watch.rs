//! The state of one connection, as the server needs it: whether it works for a complete request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// The state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// A head was complete.
    begun: AtomicBool,
    /// The requests that were read completely, until the end of their answer.
    complete: AtomicUsize,
    /// The requests that wait for this server and not for the client.
    working: AtomicUsize,
    /// The time at which `working` became zero, as a number that only grows.
    rested: AtomicU64,
    /// The client took data of an answer.
    moved: AtomicBool,
    /// A write to the socket is pending.
    blocked: AtomicBool,
    /// An answer has begun whose end is the end of the connection.
    open_ended: AtomicBool,
    /// The server needs the connection for another client.
    evicted: Notify,
}

/// Orders the rests of all connections. The values have no other meaning.
static CLOCK: AtomicU64 = AtomicU64::new(0);

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            rested: CLOCK.fetch_add(1, Relaxed).into(),
            ..Self::default()
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Whether the client has sent a complete request that still needs its answer.
    pub(crate) fn is_needed(&self) -> bool {
        self.complete.load(Relaxed) > 0 || self.blocked.load(Relaxed)
    }

    /// Whether the client must act: it sends the rest of a head, or reads an answer.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.working.load(Relaxed) == 0
    }

    /// Returns whether the client took data since the last call.
    pub(crate) fn take_moved(&self) -> bool {
        self.moved.swap(false, Relaxed)
    }

    /// Orders connections that may be closed for another client: first the connection that waits
    /// longest for a head, then for a body. Returns `None` for a connection with a complete
    /// request.
    pub(crate) fn eviction(&self) -> Option<(bool, u64)> {
        let reads_body = !self.waits_for_client();
        (!self.is_needed()).then(|| (reads_body, self.rested.load(Relaxed)))
    }

    /// Closes the connection, unless it has a complete request by then.
    pub(crate) fn evict(&self) {
        self.evicted.notify_one();
    }

    pub(crate) async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            if !self.is_needed() {
                return;
            }
        }
    }

    /// Sets whether a write to the socket is pending.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        if self.blocked.load(Relaxed) != blocked {
            self.blocked.store(blocked, Relaxed);
            self.moved.store(true, Relaxed);
        }
    }

    /// Whether a client without chunks would take the end of the connection for the end of an
    /// answer that is not complete.
    pub(crate) fn would_cut_answer(&self) -> bool {
        self.open_ended.load(Relaxed)
    }

    fn work(&self) {
        self.working.fetch_add(1, Relaxed);
    }

    fn rest(&self) {
        if self.working.fetch_sub(1, Relaxed) == 1 {
            self.rested.store(CLOCK.fetch_add(1, Relaxed), Relaxed);
        }
    }
}

/// One request and its answer. It ends when its [`Exchange`] is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    watch: Arc<Watch>,
    state: AtomicU8,
    /// The share of the bound on requests, unless the request is rejected for lack of one.
    _request: Option<OwnedSemaphorePermit>,
}

const READ: u8 = 1;
const ENDED: u8 = 2;

impl Progress {
    /// Records that the request was read completely, or needs no more of it.
    fn read(&self) {
        if self.state.fetch_or(READ, Relaxed) == 0 {
            self.watch.complete.fetch_add(1, Relaxed);
        }
    }

    fn end(&self) {
        if self.state.fetch_or(ENDED, Relaxed) == READ {
            self.watch.complete.fetch_sub(1, Relaxed);
        }
    }
}

/// The owner of a request in progress. It moves from the future into the body of the answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    progress: Arc<Progress>,
    /// The request counts as work of this server.
    works: bool,
}

impl Exchange {
    pub(crate) fn begin(watch: Arc<Watch>, request: Option<OwnedSemaphorePermit>) -> Self {
        watch.begun.store(true, Relaxed);
        watch.work();
        let progress = Progress {
            watch,
            state: AtomicU8::new(0),
            _request: request,
        };
        Self {
            progress: Arc::new(progress),
            works: true,
        }
    }

    /// Wraps the body of the request.
    pub(crate) fn reading(&self, body: Incoming) -> ReadBody {
        let body = ReadBody {
            inner: body,
            progress: self.progress.clone(),
        };
        body.observe();
        body
    }

    /// Wraps the body of the answer. `until_close` selects whether the connection ends it.
    pub(crate) fn answering(self, body: Body, until_close: bool) -> AnswerBody {
        self.progress.read();
        AnswerBody {
            inner: body,
            exchange: self,
            until_close,
        }
    }

    fn set_works(&mut self, works: bool) {
        if self.works != works {
            self.works = works;
            match works {
                true => self.progress.watch.work(),
                false => self.progress.watch.rest(),
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.set_works(false);
        self.progress.end();
    }
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct ReadBody {
    inner: Incoming,
    progress: Arc<Progress>,
}

impl ReadBody {
    fn observe(&self) {
        if self.inner.is_end_stream() {
            self.progress.read();
        }
    }
}

impl HttpBody for ReadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match polled {
            Poll::Ready(None) => self.progress.read(),
            Poll::Ready(Some(Ok(_))) => self.observe(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    inner: Body,
    exchange: Exchange,
    until_close: bool,
}

impl AnswerBody {
    /// Returns whether the answer is incomplete after this poll.
    fn is_open(&self, polled: &Poll<Option<Result<Frame<Bytes>, axum::Error>>>) -> bool {
        match polled {
            Poll::Ready(None) => false,
            Poll::Ready(Some(Err(_))) => true,
            _ => !self.inner.is_end_stream(),
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        // After a frame, hyper polls again only when the client has room for the next one.
        self.exchange.set_works(polled.is_pending());
        let watch = &self.exchange.progress.watch;
        watch.moved.store(true, Relaxed);
        if self.until_close {
            watch.open_ended.store(self.is_open(&polled), Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;

    /// A server need not poll a body behind its last frame.
    #[tokio::test]
    async fn answer_is_open_until_its_last_frame() {
        for (until_close, parts) in [(true, 2), (true, 1), (false, 2)] {
            let watch = Arc::new(Watch::new());
            let exchange = Exchange::begin(watch.clone(), None);
            let last = Body::from("x");
            let body = match parts {
                1 => last,
                _ => Body::new(Body::from("x").with_trailers(std::future::pending())),
            };
            let mut body = exchange.answering(body, until_close);
            assert!(!watch.would_cut_answer());
            body.frame().await.expect("a frame").expect("data");
            let is_open = until_close && parts > 1;
            assert_eq!(watch.would_cut_answer(), is_open, "{until_close} {parts}");
        }
    }
}
