//! A `ClassifyLayer` below the stack decides before the stack does.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use steadfast::crates::core::{Classified, DefaultClassifier};
use steadfast::{
    AiStack, BoxError, Class, Classify, ClassifyLayer, RequestBody, Verdict, classify_fn,
};
use tower::{Layer, service_fn};

use crate::support::{SentUris, local_client, with_two_endpoints};

/// An error body that the stack classifies as `ModelUnavailable`.
const UNKNOWN_MODEL: &str = r#"{"error":{"code":"model_not_found"}}"#;

/// The answer of the endpoint `first.test`. The other endpoint succeeds.
#[derive(Clone, Copy)]
enum First {
    Status(u16, &'static str),
    Reset,
}

/// Sends a file upload, which stays at its endpoint, or a completion, through a stack over
/// `classifier`.
async fn send_classified(
    classifier: impl Classify + Clone + Send + Sync + 'static,
    first: First,
    path: &str,
) -> (Result<Response<Bytes>, BoxError>, SentUris) {
    let sent = SentUris::default();
    let log = sent.clone();
    let client = service_fn(move |request: Request<RequestBody>| {
        log.push(request.uri());
        let (status, body) = match first {
            _ if request.uri().host() != Some("first.test") => (200, r#"{"choices":[]}"#),
            First::Status(status, body) => (status, body),
            First::Reset => (0, ""),
        };
        async move {
            if status == 0 {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            let mut response = Response::new(Full::from(body));
            *response.status_mut() = status.try_into().expect("a status");
            Ok(response)
        }
    });
    let client = ClassifyLayer::new(classifier).layer(client);
    let ai = with_two_endpoints(AiStack::builder())
        .build_on(local_client(client))
        .expect("a stack");
    let request = Request::post(path)
        .body("{}".to_owned())
        .expect("a request");
    let answer = match ai.send(request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            Ok(Response::from_parts(head, body))
        }
        Err(error) => Err(error),
    };
    (answer, sent)
}

fn always_on_failure(class: Class) -> impl Classify + Clone + Send + Sync + 'static {
    classify_fn(move |outcome| match DefaultClassifier.classify(outcome) {
        Verdict::SUCCESS => Verdict::SUCCESS,
        _ => Verdict::new(class),
    })
}

/// Before, a code in the body replaced the class that the user had chosen for the status.
#[tokio::test(start_paused = true)]
async fn class_of_classify_layer_wins_over_error_body() {
    let first = First::Status(404, UNKNOWN_MODEL);
    let completions = "/v1/chat/completions";

    let (answer, sent) = send_classified(DefaultClassifier, first, completions).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(sent.all().len(), 2, "the stack's own class is a refusal");

    let fault = always_on_failure(Class::ContentPolicy);
    let (answer, sent) = send_classified(fault, first, completions).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.body(), UNKNOWN_MODEL, "the body is unchanged");
    assert_eq!(sent.all().len(), 1, "a content policy permits no repeat");
}

#[tokio::test(start_paused = true)]
async fn class_of_classify_layer_wins_over_status() {
    let not_ready = always_on_failure(Class::Overloaded);
    let first = First::Status(400, "");
    let (answer, sent) = send_classified(not_ready, first, "/v1/chat/completions").await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(sent.all().len(), 2);

    let failed_success = classify_fn(|outcome| match outcome {
        Ok(head) if !head.headers().contains_key("x-complete") => Verdict::new(Class::ServerError),
        other => DefaultClassifier.classify(other),
    });
    let first = First::Status(200, "{}");
    let (answer, sent) = send_classified(failed_success, first, "/v1/files").await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let unsafe_to_repeat = ["http://first.test/base/files"];
    assert_eq!(sent.all(), unsafe_to_repeat);
}

#[tokio::test(start_paused = true)]
async fn class_of_classify_layer_wins_over_error() {
    let fault = always_on_failure(Class::CallerFault);
    let (answer, sent) = send_classified(fault, First::Reset, "/v1/chat/completions").await;
    let error = answer.expect_err("a caller fault is not repeated");
    let classified = Classified::find(&*error).expect("classified");
    assert_eq!(classified.verdict().class(), Class::CallerFault);
    assert_eq!(sent.all().len(), 1);

    let (answer, sent) =
        send_classified(DefaultClassifier, First::Reset, "/v1/chat/completions").await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(
        sent.all().last().map(String::as_str),
        Some("http://second.test/base/chat/completions")
    );
}
