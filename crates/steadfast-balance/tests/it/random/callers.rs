//! Callers with random requests, timeouts and cancellations.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast_core::{BoxError, Deadline, Exhausted, RoutingOptions, Trail};
use steadfast_retry::RetryOverride;
use tokio::task::yield_now;
use tokio::time::{advance, sleep, timeout};
use tower::ServiceExt;

use super::servers::Dice;
use super::{MAX_ATTEMPTS, NAMES};
use crate::support::{Body, Http, SECOND};

fn random_request(dice: &Dice) -> (Request<Body>, Trail) {
    let trail = Trail::new();
    let mut request = crate::support::request(dice.pick(&["GET", "POST"]));
    let extensions = request.extensions_mut();
    extensions.insert(trail.clone());
    if dice.one_in(4) {
        extensions.insert(RetryOverride::new().safe(dice.one_in(2)));
    }
    if dice.one_in(4) {
        extensions.insert(Deadline::after(dice.millis(5000)));
    }
    if dice.one_in(4) {
        extensions.insert(random_wishes(dice));
    }
    (request, trail)
}

fn random_wishes(dice: &Dice) -> RoutingOptions {
    let (wishes, name) = (RoutingOptions::new(), dice.pick(&NAMES));
    match dice.below(6) {
        0 => wishes.only(name),
        1 => wishes.only(name).only(dice.pick(&NAMES)).prefer(name),
        2 => wishes.exclude(name).exclude(dice.pick(&NAMES)),
        3 => wishes.prefer(name).exclude(dice.pick(&NAMES)),
        4 => wishes.affinity_key([dice.below(20) as u8]),
        _ => wishes.estimated_tokens(dice.pick(&[1, 100, 900, 2000])),
    }
}

/// Sends a request and waits for its answer, or cancels it before.
async fn live<S: Http>(
    service: S,
    request: Request<Body>,
    dice: &Dice,
) -> Option<Result<Response<S::ResBody>, BoxError>> {
    let mut future = pin!(service.oneshot(request));
    match dice.below(10) {
        // After so many polls, of which the first find it at each of its awaits.
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
        // Some answers never come.
        _ => timeout(20 * SECOND, future).await.ok(),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Reads a body to its end, drops it half-way, or keeps it for a while.
async fn read(mut body: impl http_body::Body + Unpin, dice: &Dice) {
    match dice.below(4) {
        0 => {}
        1 => sleep(dice.millis(5000)).await,
        2 => drop(timeout(SECOND, body.frame()).await),
        _ => drop(timeout(20 * SECOND, body.collect()).await),
    }
}

/// Checks the guarantees that every caller has.
fn check<B>(answer: &Result<Response<B>, BoxError>, trail: &Trail) {
    match answer {
        Ok(response) => {
            let told = Trail::of(response.extensions()).map(Trail::len);
            assert_eq!(told, (trail.len() > 1).then_some(trail.len()));
        }
        Err(_) if trail.len() == 1 => {}
        Err(error) => {
            let exhausted = Exhausted::find(&**error).expect("typed");
            assert_eq!(exhausted.trail().len(), trail.len());
        }
    }
}

/// Mostly a few milliseconds, at times a jump.
pub(super) async fn pass_time(dice: &Dice) {
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
    /// Of requests that were answered.
    pub(super) answered: AtomicUsize,
    pub(super) attempts_answered: AtomicUsize,
    pub(super) failovers_answered: AtomicUsize,
}

pub(super) async fn caller(service: impl Http, dice: Dice, counted: Arc<Counted>) {
    let (request, trail) = random_request(&dice);
    let answer = live(service, request, &dice).await;
    assert!(trail.len() < NAMES.len() + MAX_ATTEMPTS, "{trail}");
    (counted.attempts).fetch_add(trail.len(), Ordering::Relaxed);
    (counted.failovers).fetch_add(trail.failovers(), Ordering::Relaxed);
    if let Some(answer) = &answer {
        check(answer, &trail);
        (counted.answered).fetch_add(1, Ordering::Relaxed);
        (counted.attempts_answered).fetch_add(trail.len(), Ordering::Relaxed);
        (counted.failovers_answered).fetch_add(trail.failovers(), Ordering::Relaxed);
    }
    if let Some(Ok(response)) = answer {
        read(response.into_body(), &dice).await;
    }
}
