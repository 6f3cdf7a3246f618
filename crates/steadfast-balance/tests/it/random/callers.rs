//! Callers with random requests, timeouts and cancellations.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast_core::{BoxError, Deadline, Exhausted, LimitKey, RoutingOptions, Trail};
use steadfast_retry::RetryOverride;
use tokio::task::yield_now;
use tokio::time::{advance, sleep, timeout};
use tower::ServiceExt;

use super::servers::Dice;
use super::{MAX_ATTEMPTS, MODELS, NAMES};
use crate::support::{Body, Http, SECOND};

fn random_request(dice: &Dice) -> (Request<Body>, Trail) {
    let trail = Trail::new();
    let mut request = crate::support::request(dice.pick(&["GET", "POST"]));
    let caller = dice.pick(&["one", "two", "three"]);
    let caller = http::HeaderValue::from_static(caller);
    request.headers_mut().insert("x-api-key", caller);
    let extensions = request.extensions_mut();
    extensions.insert(trail.clone());
    if let Some(key) = random_key(dice) {
        extensions.insert(key);
    }
    if dice.one_in(4) {
        extensions.insert(RetryOverride::new().safe(dice.one_in(2)));
    }
    if dice.one_in(4) {
        extensions.insert(Deadline::after(dice.millis(5000)));
    }
    if dice.one_in(4) {
        extensions.insert(random_options(dice));
    }
    (request, trail)
}

/// Mostly one of a few models. Some callers invent models.
pub(super) fn random_key(dice: &Dice) -> Option<LimitKey> {
    match dice.below(8) {
        0 | 1 => None,
        2 => Some(LimitKey::new(&dice.below(200).to_string())),
        _ => Some(LimitKey::new(dice.pick(&MODELS))),
    }
}

fn random_options(dice: &Dice) -> RoutingOptions {
    let (options, name) = (RoutingOptions::new(), dice.pick(&NAMES));
    match dice.below(6) {
        0 => options.only(name),
        1 => options.only(name).only(dice.pick(&NAMES)).prefer(name),
        2 => options.exclude(name).exclude(dice.pick(&NAMES)),
        3 => options.prefer(name).exclude(dice.pick(&NAMES)),
        4 => options.affinity_key([dice.below(20) as u8]),
        _ => options.estimated_tokens(dice.pick(&[1, 100, 900, 2000])),
    }
}

/// Sends a request and waits for its answer, or cancels it before.
async fn send_or_cancel<S: Http>(
    service: S,
    request: Request<Body>,
    dice: &Dice,
) -> Option<Result<Response<S::ResBody>, BoxError>> {
    let mut future = pin!(service.oneshot(request));
    match dice.below(10) {
        // Dropped after a few polls, at one of its first await points.
        0 | 1 => {
            for _ in 0..dice.below(4) {
                if let Poll::Ready(answer) = poll_once(future.as_mut()).await {
                    return Some(answer);
                }
                yield_now().await;
            }
            None
        }
        2 | 3 => timeout(dice.millis(3000), future).await.ok(),
        // Some servers never answer.
        _ => timeout(20 * SECOND, future).await.ok(),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Reads a body to its end, drops it half-way, or keeps it for a while.
async fn read_or_drop(mut body: impl http_body::Body + Unpin, dice: &Dice) {
    match dice.below(4) {
        0 => {}
        1 => sleep(dice.millis(5000)).await,
        2 => drop(timeout(SECOND, body.frame()).await),
        _ => drop(timeout(20 * SECOND, body.collect()).await),
    }
}

/// Checks the guarantees that every caller has.
fn check_answer<B>(answer: &Result<Response<B>, BoxError>, trail: &Trail) {
    match answer {
        Ok(response) => {
            let reported = Trail::of(response.extensions()).map(Trail::len);
            // An answer that is returned after a rejection has the trail with the reasons.
            let explains = trail.len() == 1 && !response.status().is_success();
            match reported {
                Some(1) => assert!(explains, "{trail}"),
                reported => assert_eq!(reported, (trail.len() > 1).then_some(trail.len())),
            }
        }
        Err(_) if trail.len() == 1 => {}
        Err(error) => {
            let exhausted = Exhausted::find(&**error).expect("typed");
            assert_eq!(exhausted.trail().len(), trail.len());
        }
    }
}

/// Mostly a few milliseconds, at times a jump.
pub(super) async fn pass_random_time(dice: &Dice) {
    match dice.below(20) {
        0..10 => {}
        10..19 => sleep(dice.millis(300)).await,
        _ if dice.one_in(3) => advance(dice.millis(3_000_000)).await,
        _ => advance(dice.millis(5000)).await,
    }
}

/// Sums over the trails of all requests.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) attempts: AtomicUsize,
    pub(super) failovers: AtomicUsize,
    /// Requests with an answer or an error.
    pub(super) answered: AtomicUsize,
    pub(super) attempts_answered: AtomicUsize,
    pub(super) failovers_answered: AtomicUsize,
}

pub(super) async fn run_caller(service: impl Http, dice: Dice, counted: Arc<Counted>) {
    let (request, trail) = random_request(&dice);
    let answer = send_or_cancel(service, request, &dice).await;
    assert!(trail.len() < NAMES.len() + MAX_ATTEMPTS, "{trail}");
    (counted.attempts).fetch_add(trail.len(), Ordering::Relaxed);
    (counted.failovers).fetch_add(trail.failovers(), Ordering::Relaxed);
    if let Some(answer) = &answer {
        check_answer(answer, &trail);
        (counted.answered).fetch_add(1, Ordering::Relaxed);
        (counted.attempts_answered).fetch_add(trail.len(), Ordering::Relaxed);
        (counted.failovers_answered).fetch_add(trail.failovers(), Ordering::Relaxed);
    }
    if let Some(Ok(response)) = answer {
        read_or_drop(response.into_body(), &dice).await;
    }
}
