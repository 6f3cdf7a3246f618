//! Classification of responses and errors next to the client.

use std::io;

use http::{Request, Response, StatusCode};
use steadfast_core::layer::verdict_of;
use steadfast_core::{
    BoxError, Class, Classified, Classify, ClassifyLayer, DefaultClassifier, Verdict, classify_fn,
    find_error,
};
use tower::{Layer, ServiceExt, service_fn};

async fn classified<C: Classify + Clone>(
    classifier: C,
    outcome: Result<u16, io::ErrorKind>,
) -> Result<Response<()>, BoxError> {
    let inner = service_fn(move |_: Request<()>| async move {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(outcome?).expect("a status");
        Ok::<_, io::Error>(response)
    });
    let service = ClassifyLayer::new(classifier).layer(inner);
    service.oneshot(Request::new(())).await
}

#[tokio::test]
async fn success_adds_no_extension() {
    let response = classified(DefaultClassifier, Ok(200))
        .await
        .expect("a response");
    assert!(response.extensions().is_empty());
}

#[tokio::test]
async fn failure_is_in_the_extensions() {
    let response = classified(DefaultClassifier, Ok(503))
        .await
        .expect("a response");
    let verdict = response.extensions().get().copied();
    assert_eq!(verdict, Some(Verdict::new(Class::Overloaded)));
}

/// Without the extension, layers above would apply the default classification to the status.
#[tokio::test]
async fn status_500_classified_as_success_stays_a_success() {
    let classifier = classify_fn(|_| Verdict::SUCCESS);
    let response = classified(classifier, Ok(500)).await.expect("a response");
    assert!(verdict_of(Ok(&response)).is_success());
}

#[tokio::test]
async fn status_200_classified_as_failure_is_a_failure() {
    let classifier = classify_fn(|_| Verdict::new(Class::ServerError));
    let response = classified(classifier, Ok(200)).await.expect("a response");
    assert_eq!(verdict_of(Ok(&response)).class(), Class::ServerError);
}

#[tokio::test]
async fn error_is_wrapped_and_keeps_its_source() {
    let kind = io::ErrorKind::ConnectionRefused;
    let error = classified(DefaultClassifier, Err(kind)).await.unwrap_err();
    let classified = Classified::find(&*error).expect("a classified error");
    assert_eq!(classified.verdict().class(), Class::Connect);
    assert!(find_error::<io::Error>(&*error).is_some());
}
