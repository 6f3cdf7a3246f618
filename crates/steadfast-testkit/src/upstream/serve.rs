//! The task of one connection.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::door::Door;
use super::guard::{Presence, StreamGuard};
use super::link::{Link, Wire};
use super::render::render;
use super::state::State;
use crate::received::Received;
use crate::reply::{Answer, ReplyBody};

/// Serves one connection until it ends.
pub(crate) async fn serve(link: Arc<Link>, door: Arc<Door>, state: Arc<State>) {
    let _presence = Presence::new(door, link.clone());
    state.count(|counts| counts.connections += 1);
    let io = TokioIo::new(Wire(link.clone()));
    let service = service_fn(|request| {
        let (link, state) = (link.clone(), state.clone());
        async move { Ok::<_, Infallible>(handle(request, link, state).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    // Tests of hedging and of cancellation drop many requests at once. That is no attack here.
    server.http2().max_pending_accept_reset_streams(10_000);
    let mut connection = pin!(server.serve_connection(io, service));
    tokio::select! {
        _ = &mut connection => return,
        () = link.severed() => {}
    }
    // A body requests a cut after its last chunk. The stream may run on another thread, so the
    // chunk may not be written yet. One more poll writes it.
    let once = poll_fn(|cx| {
        let _ = connection.as_mut().poll(cx);
        Poll::Ready(())
    });
    unconstrained(once).await;
}

/// Answers one request.
async fn handle(
    request: Request<Incoming>,
    link: Arc<Link>,
    state: Arc<State>,
) -> Response<ReplyBody<StreamGuard>> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // The client closed the connection before the end of the request. No answer is possible.
        return pending().await;
    };
    let received = Received {
        at,
        connection: link.id(),
        method: head.method,
        path_and_query: head
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        version: head.version,
        headers: head.headers,
        body: body.to_bytes(),
    };
    let (number, reply) = state.receive(&received);
    if !reply.latency.is_zero() {
        sleep(reply.latency).await;
    }
    match reply.answer {
        Answer::Reset => {
            link.reset();
            pending().await
        }
        Answer::Silence => pending().await,
        _ => render(&reply, &received, number, &link, &state),
    }
}
