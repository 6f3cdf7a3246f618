//! One hostile caller beside others: the servers repeat its words in their errors, under each
//! status.
//!
//! The words are every code and phrase of the dialect tables, and known tricks. The hostile caller
//! puts them into the model, the prompt, a field name, the path and the query. No request of
//! another caller is refused, and none is delayed by more than one failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use serde_json::{Value, json};
use stack_tests::{SECOND, chat, endpoint, read, upstreams};
use steadfast::{AiStack, ApiKey, RetryOverride, Trail, dialect_texts};
use steadfast_testkit::{Behavior, Received, Reply, Upstream};
use tokio::time::{sleep, timeout};

/// The status that the servers return to the hostile caller.
const STATUS: &str = "x-test-status";
/// The shape of the error.
const SHAPE: &str = "x-test-shape";
const STATUSES: [u16; 9] = [400, 401, 402, 403, 404, 413, 422, 429, 500];
/// Tricks beside the words of the tables.
const TRICKS: [&str; 8] = [
    "x, try again in 86400s",
    "Please retry after 86400 seconds",
    "retryDelay: 86400s",
    "Your credit balance is too low to access the API",
    "You exceeded your current quota, please check your plan and billing details",
    "The model `m` does not exist",
    "Incorrect API key provided",
    "Rate limit reached for m on requests per day. Please try again in 23h59m59s",
];
/// Requests of the hostile caller at the same time.
const CONCURRENT: usize = 4;
/// Far more than a failover takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns an error that repeats all words of a hostile request. Others are served.
fn repeat(received: &Received) -> Reply {
    let Some(status) = received.header(STATUS) else {
        return Reply::ok();
    };
    let status = status.parse().expect("a status");
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    let fields = body.as_object().into_iter().flatten();
    let fields: Vec<_> = fields.map(|(name, _)| name.as_str()).collect();
    let prompt = body["messages"][0]["content"].as_str().unwrap_or_default();
    let target = &received.path_and_query;
    let whole = format!("{model}: {prompt} {fields:?} {target}");
    let error = match received.header(SHAPE) {
        Some("start") => json!({ "error": { "message": prompt, "type": "invalid_request_error" } }),
        Some("typed") => {
            let error = json!({ "type": "invalid_request_error", "message": model });
            json!({ "type": "error", "error": error })
        }
        Some("text") => json!({ "error": whole }),
        _ => json!({ "error": { "message": whole, "code": null, "param": fields } }),
    };
    Reply::status(status).body(error.to_string())
}

/// A request with the same words in all places.
fn hostile(words: &str, status: u16, shape: &str, number: usize) -> Request<String> {
    let encoded: String = words.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = match number % 3 {
        0 => format!("/v1/{encoded}/{number}?a={encoded}"),
        // The credential of the endpoint lacks the scope.
        1 => format!("/v1/files/{number}?a={encoded}"),
        _ => format!("/v1/chat/completions?a={encoded}"),
    };
    let body = json!({
        "model": words,
        "messages": [{ "role": "user", "content": words }],
        words: number,
    });
    let mut request = Request::post(path)
        .header("content-type", "application/json")
        .header(STATUS, status)
        .header(SHAPE, shape)
        .body(body.to_string())
        .expect("valid");
    // The hostile caller does not wait for its own hints.
    let impatient = RetryOverride::new().max_wait(Duration::ZERO);
    request.extensions_mut().insert(impatient);
    request
}

/// Sends a request of another caller. It must be served by its first or second attempt.
async fn serve(ai: &AiStack) {
    let answer = timeout(PATIENCE, ai.send(chat(false))).await;
    let response = answer.expect("an answer in time").expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let attempts = Trail::of(response.extensions()).map_or(1, Trail::len);
    assert!(attempts <= 2, "{attempts} attempts");
    read(response).await.expect("a body");
}

async fn stack_of_two() -> ([Upstream; 2], AiStack) {
    let upstreams = upstreams(["a", "b"]).await;
    let mut builder = AiStack::builder();
    for upstream in &upstreams {
        upstream.set(Behavior::by(repeat));
        let key = ApiKey::new("own-key").expect("valid");
        builder = builder.endpoint(endpoint(upstream).api_key(key));
    }
    let ai = builder.build().expect("valid");
    // Successes are kept in whole milliseconds since the start.
    sleep(SECOND / 200).await;
    serve(&ai).await;
    (upstreams, ai)
}

fn all_words() -> Vec<&'static str> {
    let words: Vec<_> = dialect_texts().into_iter().chain(TRICKS).collect();
    assert!(words.len() > 60, "the tables are read");
    words
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_a_hostile_caller_leave_others_served() {
    let (_upstreams, ai) = stack_of_two().await;
    let (next, is_done) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let requests: Arc<Vec<_>> = Arc::new(all_requests());
    let attackers: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let (ai, next, requests) = (ai.clone(), next.clone(), requests.clone());
            tokio::spawn(async move {
                while let Some(&(words, status, shape)) =
                    requests.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let number = next.load(Ordering::Relaxed);
                    let request = hostile(words, status, shape, number);
                    if let Ok(response) = ai.send(request).await {
                        let _ = read(response).await;
                    }
                }
            })
        })
        .collect();
    let other = tokio::spawn({
        let (ai, is_done) = (ai.clone(), is_done.clone());
        async move {
            let mut served = 0;
            while !is_done.load(Ordering::Relaxed) {
                serve(&ai).await;
                served += 1;
            }
            served
        }
    });
    for attacker in attackers {
        attacker.await.expect("no panic");
    }
    is_done.store(true, Ordering::Relaxed);
    let served: usize = other.await.expect("each request is served");
    assert!(served > 100, "{served} requests of the other caller");
    // Failures of the hostile caller may open the breaker of an endpoint that serves no others.
    let taken = ai.status();
    assert!(taken.iter().any(|status| status.admissible), "{taken:?}");
    serve(&ai).await;
}

/// Every word under every status, in a changing shape.
fn all_requests() -> Vec<(&'static str, u16, &'static str)> {
    let shapes = ["whole", "start", "typed", "text"];
    let mut requests = Vec::new();
    for (n, words) in all_words().into_iter().enumerate() {
        for (m, status) in STATUSES.into_iter().enumerate() {
            requests.push((words, status, shapes[(n + m) % shapes.len()]));
        }
    }
    requests
}

/// The other caller sends few requests. Each trick follows a pause, so that it may be believed.
#[tokio::test]
async fn rare_requests_beside_each_trick_are_served() {
    for status in STATUSES {
        let (_upstreams, ai) = stack_of_two().await;
        for (n, words) in TRICKS.into_iter().enumerate() {
            for shape in ["start", "text"] {
                let _ = timeout(SECOND, ai.send(hostile(words, status, shape, n))).await;
                serve(&ai).await;
            }
        }
    }
}
