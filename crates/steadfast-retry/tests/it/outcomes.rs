//! The outcome that is returned after the last attempt.

use std::io;

use http::Request;
use http_body_util::BodyExt;
use steadfast_core::layer::Next;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{
    BoxError, Class, Classified, Classify, ClassifyLayer, DefaultClassifier, Exhausted, Trail,
    Verdict, classify_fn,
};
use steadfast_retry::ReplayBody;
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt};

use crate::support::{Body, SECOND, answer, client, layer, limited, refused, request, reset, send};

#[tokio::test(start_paused = true)]
async fn error_after_several_attempts_contains_trail() {
    let answers = vec![Err(refused()), Err(reset()), Err(reset())];
    let (outcome, _) = send(layer(), request("GET"), answers).await;
    let error = outcome.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(
        exhausted.trail().to_string(),
        "connect, transport, transport"
    );
    let source = std::error::Error::source(exhausted).expect("the last error");
    assert!(source.is::<io::Error>());
}

#[tokio::test(start_paused = true)]
async fn error_of_lone_attempt_is_returned_unmodified() {
    let (outcome, _) = send(layer(), request("POST"), vec![Err(reset())]).await;
    assert!(outcome.unwrap_err().is::<io::Error>());
}

/// A layer above would repeat the request after the refusal of the first attempt, although the
/// second attempt may have been processed.
#[tokio::test(start_paused = true)]
async fn possibly_processed_request_is_not_returned_as_refusal() {
    let answers = vec![Ok(limited("1")), Err(reset())];
    let (outcome, sent) = send(layer(), request("POST"), answers).await;
    let error = outcome.expect_err("nobody knows");
    let exhausted = Exhausted::find(&*error).expect("after two attempts");
    assert_eq!(sent.len(), 2);
    assert_eq!(exhausted.verdict().class(), Class::Transport);
    assert!(
        error
            .source()
            .is_some_and(|source| source.is::<io::Error>())
    );

    let answers = vec![Ok(limited("1")), Ok(answer(500))];
    let (outcome, _) = send(layer(), request("POST"), answers).await;
    assert_eq!(outcome.unwrap().status(), 500);

    // Outcomes that prove a refusal, and requests that are safe.
    let answers = vec![Ok(limited("1")), Err(refused())];
    let (outcome, _) = send(layer().max_attempts(2), request("POST"), answers).await;
    assert_eq!(outcome.unwrap().status(), 429);
    let answers = vec![Ok(limited("1")), Err(reset())];
    let (outcome, _) = send(layer().max_attempts(2), request("PUT"), answers).await;
    assert_eq!(outcome.unwrap().status(), 429);
}

/// The recovery comes from the balancer. It proves nothing about the endpoint of the attempt.
#[tokio::test(start_paused = true)]
async fn recovery_of_other_endpoint_does_not_prove_refusal() {
    for wait in [0, 60] {
        let client = tower::service_fn(move |request: Request<ReplayBody<Body>>| async move {
            let trail = Trail::of(request.extensions()).expect("one that may be retried");
            if trail.is_empty() {
                return Ok(limited("1"));
            }
            trail.set_next(Next::At(Instant::now() + wait * SECOND));
            let verdict = Verdict::new(Class::Overloaded);
            Err(BoxError::from(Classified::new(verdict, "it went away")))
        });
        let service = ServiceBuilder::new().layer(layer()).service(client);
        let error = service.oneshot(request("POST")).await.expect_err("unsafe");
        let exhausted = Exhausted::find(&*error).expect("after two attempts");
        assert_eq!(exhausted.trail().len(), 2);
        assert!(!exhausted.verdict().proves_unprocessed(), "{wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn answer_is_returned_before_later_error() {
    let answers = vec![Ok(answer(503)), Err(reset()), Err(reset())];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    let response = outcome.unwrap();
    assert_eq!((response.status().as_u16(), sent.len()), (503, 3));
    let trail = Trail::of(response.extensions()).expect("three attempts");
    assert_eq!(trail.to_string(), "overloaded (503), transport, transport");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "body", "the body was read ahead and is complete");
}

#[tokio::test(start_paused = true)]
async fn classify_layer_changes_decision() {
    let classifier = classify_fn(|outcome| match outcome {
        Ok(head) if head.status() == 404 => Verdict::new(Class::Overloaded),
        other => DefaultClassifier.classify(other),
    });
    let (client, sent) = client(vec![Ok(answer(404)), Ok(answer(200))]);
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(ClassifyLayer::new(classifier))
        .service(client);
    assert_eq!(service.oneshot(request("GET")).await.unwrap().status(), 200);
    assert_eq!(sent.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn attached_verdict_takes_precedence() {
    let error = Classified::new(Verdict::new(Class::Timeout), reset());
    let (_, sent) = send(layer(), request("GET"), vec![Err(error.into())]).await;
    assert_eq!(
        sent.len(),
        1,
        "a timeout is not repeated at the same endpoint"
    );
}
