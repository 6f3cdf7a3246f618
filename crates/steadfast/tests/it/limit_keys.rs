//! The stack keeps limits per model.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast::crates::core::LimitKey;
use steadfast::{AiStack, RequestBody};
use tower::service_fn;

use crate::support::with_two_endpoints;

/// A stack with two endpoints that refuse the requests with the header `x-limited` for a minute.
/// The counter counts the refusals.
fn stack_with_limited_requests() -> (AiStack, Arc<AtomicUsize>) {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let client = service_fn(move |request: Request<RequestBody>| {
        let is_limited = request.headers().contains_key("x-limited");
        if is_limited {
            count.fetch_add(1, Ordering::Relaxed);
        }
        async move {
            let body = Full::<Bytes>::from(r#"{"choices":[]}"#);
            let mut response = Response::new(body);
            if is_limited {
                *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
                let wait = http::HeaderValue::from_static("60");
                response.headers_mut().insert("retry-after", wait);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let ai = with_two_endpoints(AiStack::builder().deadline(std::time::Duration::from_secs(5)));
    (ai.build_on(client).expect("a stack"), refused)
}

fn completion(body: &str) -> Request<String> {
    let request = Request::post("/v1/chat/completions");
    let request = request.header("content-type", "application/json");
    request.body(body.to_owned()).expect("a request")
}

fn limited(mut request: Request<String>) -> Request<String> {
    let value = http::HeaderValue::from_static("1");
    request.headers_mut().insert("x-limited", value);
    request
}

async fn status(ai: &AiStack, request: Request<String>) -> u16 {
    match ai.send(request).await {
        Ok(response) => response.status().as_u16(),
        Err(_) => 0,
    }
}

/// With two endpoints and one model that is limited for a minute, each request for another model
/// got a `503` for a minute. Callers of several models with one credential were affected.
#[tokio::test(start_paused = true)]
async fn limited_model_leaves_other_models_served() {
    let hidden = [
        "{}",
        r#"{"model":7}"#,
        r#"{"model":"a","model":"b"}"#,
        "[]",
        "no JSON",
    ];
    for body in [r#"{"model":"limited"}"#].into_iter().chain(hidden) {
        let (ai, refused) = stack_with_limited_requests();
        assert_ne!(status(&ai, limited(completion(body))).await, 200);
        assert_eq!(refused.load(Ordering::Relaxed), 2, "each endpoint once");
        for _ in 0..20 {
            let other = completion(r#"{"model":"other"}"#);
            assert_eq!(status(&ai, other).await, 200, "{body}");
        }
        // The limit is known, so no endpoint receives a further request.
        assert_ne!(status(&ai, limited(completion(body))).await, 200);
        assert_eq!(refused.load(Ordering::Relaxed), 2, "{body}");
        assert!(ai.status().iter().all(|status| status.admissible));
    }
}

/// A key of the caller takes precedence, for example for a limit that several models share.
#[tokio::test(start_paused = true)]
async fn key_of_caller_takes_precedence() {
    let (ai, refused) = stack_with_limited_requests();
    for (model, expected) in [("a", 2), ("b", 2)] {
        let mut request = limited(completion(&format!(r#"{{"model":"{model}"}}"#)));
        request.extensions_mut().insert(LimitKey::new("family"));
        assert_ne!(status(&ai, request).await, 200);
        assert_eq!(refused.load(Ordering::Relaxed), expected, "{model}");
    }
    let first = &ai.status()[0];
    let keys: Vec<_> = first.keys.iter().map(|key| key.key).collect();
    assert_eq!(keys, [Some(LimitKey::new("family"))]);
}

/// A caller that invents models must not exhaust the memory or the endpoints.
#[tokio::test(start_paused = true)]
async fn invented_models_are_bounded() {
    let (ai, _) = stack_with_limited_requests();
    for n in 0..500 {
        let body = format!(r#"{{"model":"{n}{}"}}"#, "x".repeat(n * 10));
        status(&ai, limited(completion(&body))).await;
    }
    assert_eq!(status(&ai, completion(r#"{"model":"other"}"#)).await, 200);
    for endpoint in ai.status() {
        assert!(endpoint.keys.len() <= 64, "{}", endpoint.keys.len());
        assert!(endpoint.admissible);
    }
}
