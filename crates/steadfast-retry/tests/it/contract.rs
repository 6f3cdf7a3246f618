//! The contract of `tower_service::Service`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crate::support::{Body, Handle, Mock, SECOND, answer, layer, limited, request};
use http::{Request, Response};
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Class, Classified, Exhausted, RetryBudget, Trail, Verdict};
use steadfast_retry::{ReplayBody, RetryOn429};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

/// The mock panics if an instance is called that did not report readiness itself.
#[tokio::test(start_paused = true)]
async fn ready_instance_is_called() {
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

/// Each call uses one readiness, so each further attempt needs another one.
#[tokio::test(start_paused = true)]
async fn further_attempt_waits_for_readiness() {
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
async fn busy_service_ends_request_after_max_wait() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer().mark_final(true));
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(limited("1"));
    assert_pending!(response.poll());
    advance(SECOND + SECOND / 2).await;
    assert_pending!(response.poll());

    // The maximum is 30 s, and 1.5 s have passed.
    advance(28 * SECOND).await;
    assert_pending!(response.poll());
    advance(SECOND).await;
    assert!(response.is_woken());
    let answer = assert_ready_ok!(response.poll());
    assert_eq!(answer.status(), 429);
    // A client that comes back after the hint is served.
    assert!(!answer.headers().contains_key("x-should-retry"));
}

#[tokio::test(start_paused = true)]
async fn readiness_error_between_attempts_returns_last_answer() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer().mark_final(true));
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(503));
    assert_pending!(response.poll());
    handle.send_error("endpoint lost");
    advance(SECOND).await;
    let answer = assert_ready_ok!(response.poll());
    assert_eq!(answer.status(), 503);
    // Clients would multiply the attempts of this layer.
    assert_eq!(answer.headers()["x-should-retry"], "false");
}

#[tokio::test(start_paused = true)]
async fn readiness_error_is_returned() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    handle.send_error("endpoint lost");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "endpoint lost");
}

/// A request that is dropped during its wait has not sent the retry that it reserved.
#[tokio::test(start_paused = true)]
async fn dropped_wait_refunds_budget() {
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

/// Below an outer timeout, an endpoint that hangs would otherwise get each request twice for free.
#[tokio::test(start_paused = true)]
async fn dropped_retry_spends_its_cost() {
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

/// The recovery of the first attempt has passed long ago.
#[tokio::test(start_paused = true)]
async fn passed_recovery_is_not_reported() {
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
    // The service becomes ready only after the maximum wait.
    advance(20 * SECOND).await;
    let error = assert_ready_err!(response.poll());
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!((exhausted.trail().len(), exhausted.retry_in()), (2, None));
    assert!(
        exhausted.verdict().proves_unprocessed(),
        "the attempt was refused"
    );
}

/// Is ready at once the first time and after ten seconds later, and refuses each request.
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

/// Reports its first attempt as slow. Counts the instances that wait for readiness.
struct Busy {
    is_busy: bool,
    waiting: Arc<AtomicUsize>,
    own: usize,
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        Self {
            is_busy: self.is_busy,
            waiting: self.waiting.clone(),
            own: 0,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.own, Ordering::Relaxed);
    }
}

impl Service<Request<ReplayBody<Body>>> for Busy {
    type Response = Response<String>;
    type Error = tower::BoxError;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.is_busy {
            return Poll::Ready(Ok(()));
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.own += 1;
        Poll::Pending
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> Self::Future {
        self.is_busy = true;
        let trail = Trail::of(request.extensions()).expect("one that may be retried");
        trail.set_slow(&"a".into(), true);
        std::future::pending()
    }
}

/// A permit for a rescue that was not sent stayed with the request, which did not use it.
#[tokio::test(start_paused = true)]
async fn rescue_that_is_not_ready_waits_for_nothing() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let busy = Busy {
        is_busy: false,
        waiting: waiting.clone(),
        own: 0,
    };
    let mut response = task::spawn(layer().layer(busy).oneshot(request("GET")));
    assert_pending!(response.poll());
    assert_eq!(waiting.load(Ordering::Relaxed), 0);
}

/// Slow readiness before each attempt would otherwise extend the wait beyond its maximum.
#[tokio::test(start_paused = true)]
async fn wait_for_readiness_counts_as_wait() {
    let client = SlowToBeReady::default();
    let mut service = layer().max_attempts(10).layer(client.clone());
    let start = tokio::time::Instant::now();
    let response = service.call(request("GET")).await.expect("the last answer");
    assert_eq!(response.status(), 429);
    // Attempts at 10, 20 and 30 s, with waits of 1.5, 9 and 9 s.
    assert_eq!(client.0.load(Ordering::Relaxed), 4);
    assert_eq!(start.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was ready")]
async fn finished_future_panics_when_polled() {
    let (mut service, mut handle): (mock::Spawn<RetryOn429<Mock>>, Handle) =
        mock::spawn_layer(layer());
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(request("GET")));
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(answer(200));
    assert_ready_ok!(response.poll());
    let _ = response.poll();
}

/// Counts the live futures.
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
async fn dropped_future_drops_its_attempt() {
    let alive = Arc::new(AtomicUsize::new(0));
    let mut service = layer().layer(Counting(alive.clone()));
    let mut response = task::spawn(service.call(request("GET")));
    assert_pending!(response.poll());
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    drop(response);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// Compiles only if the middleware adds no bounds of its own to these traits.
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
