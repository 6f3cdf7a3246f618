//! The promises of `tower_service::Service` that every layer of the workspace keeps.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use steadfast_core::{Class, Classified, Exhausted, RetryBudget, Verdict};
use steadfast_retry::{ReplayBody, RetryOn429};
use support::{Body, Handle, Mock, SECOND, answer, layer, limited, request};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};
use tower_test::mock;

/// The mock panics when a handle is called that did not report readiness itself, so reaching the
/// end of this test means that the ready handle, and not a clone of it, took the request.
#[tokio::test(start_paused = true)]
async fn calls_the_handle_that_was_ready() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    for _ in 0..3 {
        let mut clone = service.clone();
        assert_ready_ok!(clone.poll_ready());
        let mut response = task::spawn(clone.call(request("GET")));
        let (_, respond) = handle.next_request().await.expect("a request");
        respond.send_response(answer(200));
        assert_ready_ok!(response.poll());
        assert_ready_ok!(service.poll_ready());
    }
}

/// Each call spends one readiness, so the handle is asked again before each further attempt.
#[tokio::test(start_paused = true)]
async fn waits_for_readiness_before_a_further_attempt() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(503));
    assert_pending!(response.poll());
    advance(SECOND).await;
    assert!(response.is_woken());
    assert_pending!(response.poll());

    handle.allow(1);
    assert!(response.is_woken(), "the service has room again");
    assert_pending!(response.poll());
    let (_, respond) = handle.next_request().await.expect("the second attempt");
    respond.send_response(answer(200));
    assert_eq!(assert_ready_ok!(response.poll()).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_busy_does_not_hold_the_request() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(limited("1"));
    assert_pending!(response.poll());
    advance(SECOND + SECOND / 2).await;
    assert_pending!(response.poll());

    // 30 s in all, of which 1.5 were slept.
    advance(28 * SECOND).await;
    assert_pending!(response.poll());
    advance(SECOND).await;
    assert!(response.is_woken());
    assert_eq!(assert_ready_ok!(response.poll()).status(), 429);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_between_attempts_gives_the_last_answer() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(503));
    assert_pending!(response.poll());
    handle.send_error("endpoint lost");
    advance(SECOND).await;
    assert_eq!(assert_ready_ok!(response.poll()).status(), 503);
}

#[tokio::test(start_paused = true)]
async fn passes_readiness_errors_on() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    handle.send_error("endpoint lost");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "endpoint lost");
}

/// A request that leaves during its wait has not used what it took from the budget.
#[tokio::test(start_paused = true)]
async fn a_dropped_future_gives_back_its_budget() {
    let budget = RetryBudget::default();
    let layer = layer().budget(budget.clone());
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(503));
    assert_pending!(response.poll());
    assert_eq!(budget.available(), 500 - 14, "held through the wait");

    drop(response);
    assert_eq!(budget.available(), 500);
}

/// Servers that hang under a timeout outside would otherwise get every request twice, and the
/// budget would never know.
#[tokio::test(start_paused = true)]
async fn a_retry_that_was_sent_is_paid_for_although_its_caller_leaves() {
    let budget = RetryBudget::default();
    let layer = layer().budget(budget.clone());
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(503));
    assert_pending!(response.poll());
    advance(SECOND).await;
    assert_pending!(response.poll());
    let _hangs = handle.next_request().await.expect("the second attempt");
    drop(response);
    assert_eq!(budget.available(), 500 - 14);
}

/// The instant that the first attempt has named is long over.
#[tokio::test(start_paused = true)]
async fn a_recovery_that_has_passed_is_not_told_of() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    handle.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    for _ in 0..2 {
        let (_, respond) = handle.next_request().await.expect("a request");
        let open = Verdict::new(Class::Overloaded).with_hint(Some(5 * SECOND));
        respond.send_error(Classified::new(open.neutral(), "the circuit is open"));
        assert_pending!(response.poll());
        advance(10 * SECOND).await;
        assert_pending!(response.poll());
    }
    // It is not ready before the request has waited for as long as it may.
    advance(20 * SECOND).await;
    let error = assert_ready_err!(response.poll());
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!((exhausted.trail().len(), exhausted.retry_in()), (2, None));
    assert!(exhausted.verdict().proves_unprocessed(), "nothing was done");
}

/// Takes ten seconds to become ready, but for the first time, and then refuses.
#[derive(Clone, Default)]
struct SlowToBeReady(Arc<AtomicUsize>, Option<Arc<std::sync::Mutex<Pause>>>);

type Pause = std::pin::Pin<Box<tokio::time::Sleep>>;

impl Service<Request<ReplayBody<Body>>> for SlowToBeReady {
    type Response = Response<String>;
    type Error = tower::BoxError;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let Some(pause) = &self.1 else {
            return Poll::Ready(Ok(()));
        };
        pause.lock().unwrap().as_mut().poll(cx).map(Ok)
    }

    fn call(&mut self, _: Request<ReplayBody<Body>>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        let pause = Box::pin(tokio::time::sleep(10 * SECOND));
        self.1 = Some(Arc::new(std::sync::Mutex::new(pause)));
        std::future::ready(Ok(limited("1")))
    }
}

/// A service that is slow to become ready before each attempt would otherwise hold a request for
/// as long as it has attempts.
#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_is_waiting() {
    let client = SlowToBeReady::default();
    let mut service = layer().max_attempts(10).layer(client.clone());
    let start = tokio::time::Instant::now();
    let response = service.call(request("GET")).await.expect("the last answer");
    assert_eq!(response.status(), 429);
    // After 10, 20 and 30 s, of which 1.5, 9 and 9 were slept.
    assert_eq!(client.0.load(Ordering::Relaxed), 4);
    assert_eq!(start.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was ready")]
async fn a_future_that_is_done_sends_nothing_more() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(200));
    assert_ready_ok!(response.poll());
    let _ = response.poll();
}

/// Counts the futures that are alive.
#[derive(Clone)]
struct Counting(Arc<AtomicUsize>);

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<Request<ReplayBody<Body>>> for Counting {
    type Response = Response<String>;
    type Error = tower::BoxError;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<ReplayBody<Body>>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        let alive = Alive(self.0.clone());
        Box::pin(async move {
            let _alive = alive;
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_drops_its_attempt() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut service = layer().layer(Counting(alive.clone()));
    let mut response = task::spawn(service.call(request("GET")));
    assert_pending!(response.poll());
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    drop(response);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// Compiles only while the middleware adds no bounds of its own to these traits.
#[allow(dead_code)]
fn keeps_auto_traits<S: Send + Sync + Clone>(service: RetryOn429<S>) {
    fn check<T: Send + Sync + Clone>(_: T) {}
    check(service);
}

#[allow(dead_code)]
fn futures_are_send(mut service: RetryOn429<Counting>) {
    fn check<T: Send>(_: T) {}
    check(service.call(request("GET")));
}
