//! What one writes by hand for a single endpoint: the rewriting and the accounting of a balancer
//! that has nothing to choose.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderValue, Request, Response};
use steadfast_core::layer::{End, OnEnd, Watched};
use tokio::time::Instant;
use tower::Service;

use super::request::Body;

/// Directs a request to an endpoint that is known.
pub(crate) fn rewrite(mut request: Request<Body>) -> Request<Body> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri = format!("https://e0.test/v1{target}").parse();
    *request.uri_mut() = uri.expect("a path");
    let headers = request.headers_mut();
    headers.remove(HOST);
    headers.remove(COOKIE);
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sk-0"));
    request
}

/// Counts requests in flight until the end of the body, and averages the latency of heads.
#[derive(Clone)]
pub(crate) struct Accounted<S> {
    inner: S,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    in_flight: AtomicU32,
    /// The bits of an `f64`, in seconds.
    latency: AtomicU64,
}

/// A request in flight.
pub(crate) struct InFlight(Arc<Known>);

pub(crate) struct Accounting<F> {
    future: F,
    in_flight: Option<InFlight>,
    started: Instant,
}

impl<S> Accounted<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            known: Arc::default(),
        }
    }
}

impl<S> Service<Request<Body>> for Accounted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Unpin,
{
    type Response = Response<Watched<Body, InFlight>>;
    type Error = S::Error;
    type Future = Accounting<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.known.in_flight.fetch_add(1, Ordering::Relaxed);
        Accounting {
            in_flight: Some(InFlight(self.known.clone())),
            started: Instant::now(),
            future: self.inner.call(rewrite(request)),
        }
    }
}

impl<F, E> Future for Accounting<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = Result<Response<Watched<Body, InFlight>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.future).poll(cx))?;
        let in_flight = self.in_flight.take().expect("polled after completion");
        in_flight.0.answered(self.started);
        Poll::Ready(Ok(Watched::response(response, in_flight)))
    }
}

impl Known {
    fn answered(&self, started: Instant) {
        let sample = started.elapsed().as_secs_f64();
        let mix = |bits| Some((0.8 * f64::from_bits(bits) + 0.2 * sample).to_bits());
        let order = Ordering::Relaxed;
        let _ = self.latency.fetch_update(order, order, mix);
    }
}

impl OnEnd for InFlight {
    fn on_end(&mut self, _: End) {}
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
