//! One connection: its protocol, its time limits and its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::io::Socket;
use super::watch::{AnswerBody, Exchange, Watch};
use crate::gateway::limits::Limits;
use crate::gateway::reject::unavailable;

/// The largest head, and the largest piece of a body in the buffer of a connection.
const BUFFER: usize = 32 * 1024;
/// The largest list of headers on HTTP/2. hyper bounds the number of headers on HTTP/1.1 to 100.
const MAX_HEADER_LIST: u32 = 32 * 1024;
/// The window of one HTTP/2 stream, and of all streams of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The streams that a client may reset before they were answered.
const MAX_RESETS: usize = 32;
/// The interval and the time limit of HTTP/2 pings.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
/// The time to write the end of an answer after the stop signal.
const FLUSH: Duration = Duration::from_millis(250);

/// The state of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests are served.
    Serving,
    /// Only complete requests are still served.
    Draining,
    /// No request is served.
    Stopped,
}

/// Creates the protocol of all connections.
pub(crate) fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER);
    builder
}

/// Serves a connection until it ends, is idle for too long, or the server stops.
pub(crate) async fn drive(
    socket: TcpStream,
    protocol: &auto::Builder<TokioExecutor>,
    service: Watching,
    limits: &Limits,
    mut phase: watch::Receiver<Phase>,
) {
    let watch = service.watch.clone();
    let socket = TokioIo::new(Socket::new(socket, watch.clone()));
    let mut connection = pin!(protocol.serve_connection(socket, service));
    let mut timer = pin!(sleep(limits.head_timeout));
    let mut draining = false;
    loop {
        tokio::select! {
            // Errors concern this client only: it sent no HTTP, or it disconnected.
            _ = connection.as_mut() => return,
            () = watch.evicted() => return,
            () = timer.as_mut() => {
                let stalled = match draining {
                    true => !watch.is_needed(),
                    false => watch.waits_for_client(),
                };
                if stalled && !watch.take_moved() {
                    return;
                }
                let pause = match (draining, watch.has_begun()) {
                    (true, _) => FLUSH,
                    (false, true) => limits.idle_timeout,
                    (false, false) => limits.head_timeout,
                };
                timer.as_mut().reset(Instant::now() + pause);
            }
            changed = phase.changed() => {
                if changed.is_err() || *phase.borrow() == Phase::Stopped {
                    return;
                }
                draining = true;
                connection.as_mut().graceful_shutdown();
                watch.take_moved();
                timer.as_mut().reset(Instant::now() + FLUSH);
            }
        }
    }
}

/// The service of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    pub(crate) router: Router,
    pub(crate) watch: Arc<Watch>,
    /// The requests in progress of all connections.
    pub(crate) requests: Arc<Semaphore>,
}

impl Service<Request<Incoming>> for Watching {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let permit = self.requests.clone().try_acquire_owned().ok();
        let is_full = permit.is_none();
        let exchange = Exchange::begin(self.watch.clone(), permit);
        let has_chunks = request.version() != Version::HTTP_10;
        let request = request.map(|body| Body::new(exchange.reading(body)));
        let router = self.router.clone();
        Box::pin(async move {
            let answer = match is_full {
                true => unavailable("too many requests in progress", "too_many_requests"),
                false => router.oneshot(request).await?,
            };
            let until_close = !has_chunks && !answer.headers().contains_key(CONTENT_LENGTH);
            Ok(answer.map(|body| exchange.answering(body, until_close)))
        })
    }
}
