//! The stack keeps limits per model.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
#[cfg(feature = "models")]
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use steadfast::crates::core::LimitKey;
use steadfast::{AiStack, AiStackBuilder, Class, Endpoint, Exhausted, RequestBody};
use tower::service_fn;

use crate::support::{local_client, with_two_endpoints};

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
    (ai.build_on(local_client(client)).expect("a stack"), refused)
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

/// A stack with one endpoint that passes credentials on. The credit of the caller `spent` is used
/// up, and the model `limited` is limited.
fn stack_with_callers(builder: AiStackBuilder) -> AiStack {
    let client = service_fn(|request: Request<RequestBody>| async move {
        let headers = request.headers();
        let status = match headers.get("x-api-key").and_then(|key| key.to_str().ok()) {
            Some("spent") => StatusCode::PAYMENT_REQUIRED,
            _ if headers.contains_key("x-limited") => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        };
        let mut response = Response::new(Full::<Bytes>::from(r#"{"choices":[]}"#));
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    });
    let endpoint = Endpoint::new("a", "http://a.test").expect("an endpoint");
    let builder = builder.endpoint(endpoint.pass_credentials(true));
    builder.build_on(local_client(client)).expect("a stack")
}

fn of_caller(caller: &'static str, mut request: Request<String>) -> Request<String> {
    let value = http::HeaderValue::from_static(caller);
    request.headers_mut().insert("x-api-key", value);
    request
}

/// Each request of the stack has a key. The next request of such a caller waited for 30 s, and got
/// "is busy" without a time.
#[tokio::test(start_paused = true)]
async fn caller_with_spent_credit_is_rejected_at_once_with_its_reason() {
    let ai = stack_with_callers(AiStack::builder());
    let chat = |model: &str| completion(&format!(r#"{{"model":"{model}"}}"#));
    assert_eq!(status(&ai, of_caller("spent", chat("m"))).await, 402);
    for model in ["m", "other"] {
        let start = tokio::time::Instant::now();
        let error = ai.send(of_caller("spent", chat(model))).await.err();
        let error = error.expect("benched");
        let exhausted = Exhausted::find(&*error).expect("typed");
        assert_eq!(
            exhausted.verdict().class(),
            Class::QuotaExhausted,
            "{error}"
        );
        assert_eq!(exhausted.retry_in(), Some(Duration::from_secs(60)));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(status(&ai, of_caller("paid", chat(model))).await, 200);
    }
    ai.endpoints().restore("a").expect("known");
    assert_eq!(status(&ai, of_caller("spent", chat("m"))).await, 402);
}

/// A caller chooses the models of its requests. The names of 64 invented models were labels.
#[cfg(feature = "models")]
#[tokio::test(start_paused = true)]
async fn metrics_name_only_configured_models() {
    use steadfast::models::{Catalogue, Model, Route};

    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let catalogue = || Catalogue::new().with(Model::new("known").alias("alias"));
    let routed = Route::new("fast").to("a", "target");
    let wild = Route::new("any-*").to("a", "*");
    let stacks = [
        (AiStack::builder(), "invented", "other"),
        (AiStack::builder().catalogue(catalogue()), "known", "known"),
        (AiStack::builder().catalogue(catalogue()), "alias", "alias"),
        (AiStack::builder().route(routed.clone()), "fast", "target"),
        (AiStack::builder().route(routed), "invented", "other"),
        (AiStack::builder().route(wild), "any-thing", "other"),
    ];
    for (builder, model, label) in stacks {
        let ai = stack_with_callers(builder);
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        let request = limited(completion(&body));
        assert_ne!(status(&ai, request).await, 200);
        let mut labels: Vec<String> = (recorder.snapshotter().snapshot().into_vec().into_iter())
            .filter(|(_, _, _, value)| !matches!(value, DebugValue::Counter(0)))
            .flat_map(|(key, ..)| key.key().labels().cloned().collect::<Vec<_>>())
            .filter(|found| found.key() == "key")
            .map(|found| found.value().to_owned())
            .collect();
        labels.dedup();
        assert_eq!(labels, [label], "{model}");
    }
}
