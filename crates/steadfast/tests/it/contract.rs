//! The contract of `tower_service::Service`: the stack over the checked service of the testkit.
//!
//! The checker panics if a layer calls an instance that was not polled ready. `tests/it/contract.rs`
//! of the workspace adds random load.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use steadfast::{AiStack, BoxError, RequestBody, ResponseBody};
use steadfast_testkit::{Contract, Probe};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Service, ServiceExt};

use crate::support::with_two_endpoints;

/// The statuses that a client returns in turn. `0` is a lost connection, `1` is silence.
type Script = &'static [u16];

/// A stack with two endpoints over a checked client.
fn checked_stack(script: Script, permits: usize) -> (AiStack, Probe) {
    let sent = Arc::new(AtomicUsize::new(0));
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let at = sent.fetch_add(1, Ordering::Relaxed);
        let status = script[at.min(script.len() - 1)];
        async move {
            match status {
                0 => return Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                1 => pending().await,
                _ => {}
            }
            let mut response = Response::new(Full::from(r#"{"choices":[]}"#));
            *response.status_mut() = status.try_into().expect("a status");
            let hint = http::HeaderValue::from_static("1");
            response.headers_mut().insert("retry-after-ms", hint);
            Ok(response)
        }
    });
    let client = Contract::new(client).limit(permits);
    let probe = client.probe();
    let ai = with_two_endpoints(AiStack::builder()).build_on(client);
    (ai.expect("a stack"), probe)
}

fn completion() -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .body(Full::from(r#"{"model":"m"}"#))
        .expect("a request")
}

async fn send(ai: &AiStack) -> Result<Response<ResponseBody>, BoxError> {
    ai.clone().oneshot(completion()).await
}

/// Each attempt of a request needs readiness of its own: a failover, a retry at the same endpoint,
/// and the next request.
#[tokio::test(start_paused = true)]
async fn each_attempt_calls_ready_instance() {
    for script in [
        &[200][..],
        &[429, 200],
        &[500, 200],
        &[0, 503, 200],
        &[429, 429, 200],
        &[400],
        &[500],
    ] {
        let (ai, probe) = checked_stack(script, 8);
        for _ in 0..3 {
            let body = send(&ai).await.expect("an answer").into_body();
            body.collect().await.expect("a body");
        }
        probe.assert_idle();
        assert!(probe.report().completed >= 3, "{script:?}");
        assert_eq!(probe.report().unused, 0, "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stack_is_ready_while_its_client_is_not() {
    let (mut ai, probe) = checked_stack(&[200], 8);
    probe.hold();
    let mut ready = task::spawn(());
    let poll = ready.enter(|cx, _| Service::<Request<Full<Bytes>>>::poll_ready(&mut ai, cx));
    assert!(matches!(poll, Poll::Ready(Ok(()))));

    let mut response = task::spawn(ai.call(completion()));
    assert_pending!(response.poll());
    probe.allow();
    assert!(response.is_woken());
    assert_ready_ok!(response.poll());
    assert_eq!(probe.report().unused, 0);
}

/// A request that waits for its client holds neither readiness nor a slot after its drop.
#[tokio::test(start_paused = true)]
async fn dropped_request_leaves_no_ready_instance() {
    let (ai, probe) = checked_stack(&[200], 1);
    probe.hold();
    let mut dropped = task::spawn(ai.clone().oneshot(completion()));
    assert_pending!(dropped.poll());
    drop(dropped);
    probe.allow();
    assert_eq!(probe.report().calls, 0);
    probe.assert_idle();

    send(&ai).await.expect("the permit was not lost");
    assert!(ai.status().iter().all(|endpoint| endpoint.in_flight == 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_attempt_releases_its_permit() {
    let (ai, probe) = checked_stack(&[1, 200], 1);
    let mut silent = task::spawn(ai.clone().oneshot(completion()));
    assert_pending!(silent.poll());
    let mut next = task::spawn(ai.clone().oneshot(completion()));
    assert_pending!(next.poll());

    drop(silent);
    assert!(next.is_woken());
    assert_ready_ok!(next.poll());
    assert_eq!(probe.report().cancelled, 1);
    probe.assert_idle();
}

/// The wait between two attempts can be long, and other requests need the permit.
#[tokio::test(start_paused = true)]
async fn backoff_holds_no_ready_instance() {
    let (ai, probe) = checked_stack(&[503, 503, 200], 1);
    let mut first = task::spawn(ai.clone().oneshot(completion()));
    assert_pending!(first.poll());
    while probe.report().completed < 2 {
        advance(Duration::from_millis(1)).await;
        // Then it is in its backoff. Jitter may leave less than a millisecond of it.
        assert_pending!(first.poll());
    }
    assert_eq!(probe.report().ready, 0);
    send(&ai).await.expect("another request passes meanwhile");
}

/// The upload of a request may take longer than the readiness of its endpoint lasts.
#[tokio::test(start_paused = true)]
async fn pending_request_body_holds_no_ready_instance() {
    let (ai, probe) = checked_stack(&[200], 1);
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(SilentBody)
        .expect("a request");
    let mut upload = task::spawn(ai.clone().oneshot(request));
    assert_pending!(upload.poll());
    assert_eq!(probe.report().ready, 0);
    send(&ai).await.expect("another request passes meanwhile");
    drop(upload);
    probe.assert_idle();
}

/// An instance that has failed in `poll_ready` is not used again, which the checker would report.
#[tokio::test(start_paused = true)]
async fn readiness_error_moves_request_to_other_endpoint() {
    let (ai, probe) = checked_stack(&[200], 8);
    probe.fail_ready(io::Error::from(io::ErrorKind::ConnectionRefused));
    let response = send(&ai).await.expect("the other endpoint serves");
    assert_eq!(response.status(), 200);
    drop(response);
    assert_eq!(probe.report().failed_ready, 1);
    probe.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn readiness_errors_of_all_endpoints_are_returned() {
    let (ai, probe) = checked_stack(&[200], 8);
    for _ in 0..20 {
        probe.fail_ready(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    let mut failed = task::spawn(ai.clone().oneshot(completion()));
    let error = loop {
        if let Poll::Ready(result) = failed.poll() {
            break result.expect_err("no endpoint serves");
        }
        advance(Duration::from_millis(10)).await;
    };
    let source = steadfast::find_error::<io::Error>(&*error).expect("the error of the client");
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
    probe.assert_idle();
}

/// Compiles only if services and futures can be shared between threads as tower's users expect.
#[test]
fn stack_and_its_future_are_send() {
    fn check<T: Send>(value: T) -> T {
        value
    }
    fn check_shared<T: Clone + Send + Sync + Unpin + 'static>(_: &T) {}
    let (mut ai, _) = checked_stack(&[200], 8);
    check_shared(&ai);
    drop(check(ai.call(completion())));
}

/// A body without a frame and without an end.
struct SilentBody;

impl Body for SilentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}
