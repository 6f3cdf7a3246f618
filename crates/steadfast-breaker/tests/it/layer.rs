//! The layer around a service without HTTP.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use crate::support::{
    CLOSED, HALF_OPEN, OPEN, SECOND, due_breaker, opens_at_first_failure, rejection, trip,
};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen};
use steadfast_core::{BoxError, BreakerEffect, Class, Classified, Exhausted, Trail, Verdict};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

#[tokio::test(start_paused = true)]
async fn ok_is_success_and_err_is_failure() {
    let breaker = CircuitBreaker::new();
    let service =
        CircuitBreakerLayer::new(breaker.clone()).layer(service_fn(async |ok: bool| match ok {
            true => Ok("row"),
            false => Err(io::Error::other("no row")),
        }));
    for ok in [false, false, false, false, true, false, false, false, false] {
        assert_eq!(service.clone().oneshot(ok).await.is_ok(), ok);
    }
    assert_eq!(breaker.state(), CLOSED);
    let error = service
        .oneshot(false)
        .await
        .expect_err("the fifth consecutive failure");
    assert_eq!(error.to_string(), "no row", "errors are passed on");
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn closed_breaker_admits_infallible_service() {
    let service = service_fn(async |n: u32| Ok::<_, Infallible>(n + 1));
    let service = CircuitBreakerLayer::new(CircuitBreaker::new()).layer(service);
    assert_eq!(service.oneshot(1).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn rejection_has_name_time_and_neutral_verdict() {
    let breaker = CircuitBreaker::builder().name("db").build().unwrap();
    trip(&breaker);
    advance(20 * SECOND).await;
    let service = service_fn(async |(): ()| Err::<(), _>(io::Error::other("asked")));
    let service = CircuitBreakerLayer::new(breaker).layer(service);

    let error = service.oneshot(()).await.unwrap_err();
    let open = CircuitOpen::find(&*error).expect("rejected");
    assert_eq!(open.name(), &"db");
    assert_eq!(open.retry_in(), Some(40 * SECOND));
    let verdict = Classified::find(&*error).expect("classified").verdict();
    assert_eq!(verdict.class(), Class::Overloaded);
    assert_eq!(verdict.hint(), Some(40 * SECOND));
    assert_eq!(verdict.breaker(), BreakerEffect::Neutral);
}

/// An outer breaker that opened with the inner one would stay open for as long again.
#[tokio::test(start_paused = true)]
async fn rejection_of_inner_breaker_is_no_failure_of_outer() {
    let (inner, outer) = (CircuitBreaker::new(), CircuitBreaker::new());
    trip(&inner);
    let service = service_fn(async |(): ()| Ok::<_, Infallible>(()));
    let service = CircuitBreakerLayer::new(inner).layer(service);
    let service = CircuitBreakerLayer::new(outer.clone()).layer(service);
    for _ in 0..10 {
        service.clone().oneshot(()).await.unwrap_err();
    }
    assert_eq!((outer.state(), outer.health()), (CLOSED, 1.0));
}

#[tokio::test(start_paused = true)]
async fn classified_error_keeps_verdict() {
    let neutral = || Classified::new(Verdict::new(Class::RateLimited), "slow down");
    let breaker = opens_at_first_failure();
    let layer = CircuitBreakerLayer::new(breaker.clone());
    let service = layer.layer(service_fn(async |(): ()| Err::<(), _>(neutral())));
    service.oneshot(()).await.unwrap_err();
    let boxed = async |(): ()| Err::<(), _>(BoxError::from(neutral()));
    layer
        .layer(service_fn(boxed))
        .oneshot(())
        .await
        .unwrap_err();
    let verdict = Verdict::new(Class::RateLimited);
    let given_up = async |(): ()| Err::<(), _>(Exhausted::new(Trail::new(), verdict, None));
    let service = layer.layer(service_fn(given_up));
    service.oneshot(()).await.unwrap_err();
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn function_decides_outcome() {
    let breaker = opens_at_first_failure();
    let layer = CircuitBreakerLayer::new(breaker.clone()).classify_with(
        |result: Result<&u32, &io::Error>| match result {
            Ok(0) => Verdict::new(Class::ServerError),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Verdict::SUCCESS,
            Err(_) => Verdict::new(Class::Connect),
            Ok(_) => Verdict::SUCCESS,
        },
    );
    assert!(format!("{layer:?}").contains("ByResultFn(_)"));
    let mut service = layer.layer(service_fn(async |n: u32| match n {
        404 => Err(io::ErrorKind::NotFound.into()),
        n => Ok(n),
    }));
    service.ready().await.unwrap().call(1).await.unwrap();
    service.ready().await.unwrap().call(404).await.unwrap_err();
    assert_eq!(breaker.state(), CLOSED);
    assert_eq!(service.ready().await.unwrap().call(0).await.unwrap(), 0);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_breaker() {
    let breaker = opens_at_first_failure();
    let layer = CircuitBreakerLayer::new(breaker.clone());
    let fails = service_fn(async |(): ()| Err::<(), _>("down"));
    let works = service_fn(async |(): ()| Ok::<_, BoxError>(()));
    let other = layer.clone().layer(works);
    layer.layer(fails).clone().oneshot(()).await.unwrap_err();

    assert_eq!(other.breaker().state(), OPEN);
    let error = other.oneshot(()).await.unwrap_err();
    assert!(CircuitOpen::find(&*error).is_some());
    rejection(&breaker);
}

#[tokio::test(start_paused = true)]
async fn layer_of_breaker_shares_its_state() {
    let breaker = opens_at_first_failure();
    for layer in [
        breaker.layer(),
        CircuitBreakerLayer::from(breaker.clone()),
        CircuitBreakerLayer::new(breaker.clone()),
    ] {
        breaker.reset();
        let service = layer.layer(service_fn(async |(): ()| Err::<(), _>("down")));
        service.oneshot(()).await.unwrap_err();
        assert_eq!(breaker.state(), OPEN);
    }
}

#[tokio::test(start_paused = true)]
async fn three_requests_close_due_breaker() {
    let breaker = due_breaker().await;
    let service = service_fn(async |(): ()| Ok::<_, Infallible>(()));
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(service);
    for state in [HALF_OPEN, HALF_OPEN, CLOSED] {
        service.ready().await.unwrap().call(()).await.unwrap();
        assert_eq!(breaker.state(), state);
    }
}

// ===== abandoned_after =====

/// Drops the future of a request without an answer after `patience`.
async fn drop_request_after(
    breaker: &CircuitBreaker,
    abandoned_after: Duration,
    patience: Duration,
) {
    let layer = CircuitBreakerLayer::new(breaker.clone()).abandoned_after(abandoned_after);
    let service = layer.layer(service_fn(async |(): ()| {
        sleep(Duration::MAX).await;
        Ok::<_, Infallible>(())
    }));
    timeout(patience, service.oneshot(())).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn request_dropped_after_abandoned_after_is_timeout() {
    let breaker = opens_at_first_failure();
    drop_request_after(
        &breaker,
        10 * SECOND,
        10 * SECOND - Duration::from_millis(1),
    )
    .await;
    assert_eq!(breaker.state(), CLOSED);
    drop_request_after(&breaker, 10 * SECOND, 10 * SECOND).await;
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_not_abandoned() {
    let breaker = opens_at_first_failure();
    let layer = CircuitBreakerLayer::new(breaker.clone()).abandoned_after(SECOND);
    let service = layer.layer(service_fn(async |(): ()| {
        sleep(10 * SECOND).await;
        Ok::<_, Infallible>(())
    }));
    service.oneshot(()).await.unwrap();
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn setters_apply_in_any_order() {
    let breaker = opens_at_first_failure();
    let layer = CircuitBreakerLayer::new(breaker.clone())
        .abandoned_after(SECOND)
        .classify_with(|_: Result<&(), &Infallible>| Verdict::SUCCESS);
    let service = layer.layer(service_fn(async |(): ()| {
        sleep(Duration::MAX).await;
        Ok::<_, Infallible>(())
    }));
    timeout(SECOND, service.oneshot(())).await.unwrap_err();
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn longest_abandoned_after_does_not_panic() {
    let breaker = opens_at_first_failure();
    drop_request_after(&breaker, Duration::MAX, SECOND).await;
    assert_eq!(breaker.state(), CLOSED);
}
