//! One hostile caller beside others: the servers repeat its words in their errors, under each
//! status.
//!
//! The words are every code and phrase of the dialect tables, and known tricks. The hostile caller
//! puts them into the model, the prompt, a field name, the path and the query, or it names the
//! model of the others. No request of another caller is refused, and none is delayed by more than
//! one failover. Exception: a `429` for the model of the others looks like one of a used-up quota.
//! If the credentials of the callers do not distinguish them, a large share of such refusals limits
//! the model for some seconds.
//!
//! The idle pools have their servers in this process: a day of cases takes seconds, and a busy
//! machine delays none of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use stack_tests::{SECOND, chat, endpoint, local_client, read, upstreams};
use steadfast::{
    AiStack, AiStackBuilder, ApiKey, BoxError, Endpoint, RequestBody, RequestExt, RetryOverride,
    RoutingOptions, Trail, dialect_texts,
};
use steadfast_testkit::{Behavior, Received, Reply, Upstream};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, interval, sleep};
use tower::service_fn;

/// The status that the servers return to the hostile caller.
const STATUS: &str = "x-test-status";
/// The shape of the error.
const SHAPE: &str = "x-test-shape";
const STATUSES: [u16; 9] = [400, 401, 402, 403, 404, 413, 422, 429, 500];
const SHAPES: [&str; 4] = ["whole", "start", "typed", "text"];
/// The credentials of the callers. The endpoints have their own one.
const HOSTILE: &str = "Bearer hostile";
const OTHER: &str = "Bearer other";
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
/// A failover takes milliseconds. The shortest cooldown without a hint takes a second.
const PATIENCE: Duration = Duration::from_millis(250);
/// An answer to others.
const COMPLETION: &str = r#"{"choices":[{"index":0,"message":{"content":"a"}}]}"#;
/// The time of an answer, where the clock is paused.
const LATENCY: Duration = Duration::from_millis(20);
/// The time without a request after which an endpoint is idle.
const IDLE: Duration = Duration::from_secs(60);

/// The path of a hostile request.
#[derive(Clone, Copy, Debug)]
enum Path {
    /// The path of the others.
    Chat,
    /// The credential of the endpoint lacks the scope.
    Files,
    /// The words are in the path.
    Words,
}

/// The kinds of hostile requests: the path, and whether the words are the model. Otherwise it is
/// the model of the others.
const KINDS: [(Path, bool); 4] = [
    (Path::Words, true),
    (Path::Chat, true),
    (Path::Chat, false),
    (Path::Files, false),
];

/// A hostile request.
#[derive(Clone, Copy, Debug)]
struct Trick {
    words: &'static str,
    status: u16,
    shape: &'static str,
    kind: (Path, bool),
}

/// Returns the status and the body of an error that repeats all words of a hostile request, or
/// `None` for others.
fn repeated<'a>(
    target: &str,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
) -> Option<(u16, String)> {
    let status = header(STATUS)?.parse().expect("a status");
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    let fields = body.as_object().into_iter().flatten();
    let fields: Vec<_> = fields.map(|(name, _)| name.as_str()).collect();
    let prompt = body["messages"][0]["content"].as_str().unwrap_or_default();
    let whole = format!("{model}: {prompt} {fields:?} {target}");
    let error = match header(SHAPE) {
        Some("start") => json!({ "error": { "message": prompt, "type": "invalid_request_error" } }),
        Some("typed") => {
            let words = if model == "m" { prompt } else { model };
            let error = json!({ "type": "invalid_request_error", "message": words });
            json!({ "type": "error", "error": error })
        }
        Some("text") => json!({ "error": whole }),
        _ => json!({ "error": { "message": whole, "code": null, "param": fields } }),
    };
    Some((status, error.to_string()))
}

/// The reply of a server to a hostile or another request.
fn repeat(received: &Received) -> Reply {
    let header = |name: &str| received.header(name);
    match repeated(&received.path_and_query, header, &received.body) {
        Some((status, body)) => Reply::status(status).body(body),
        None => Reply::ok(),
    }
}

/// The same reply in this process.
async fn repeat_in_process(request: Request<RequestBody>) -> Result<Response<String>, BoxError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| head.headers.get(name)?.to_str().ok();
    let target = head.uri.path_and_query().expect("a path").as_str();
    let answer = repeated(target, header, &body);
    let (status, body) = answer.unwrap_or_else(|| (200, COMPLETION.to_owned()));
    let answer = Response::builder().status(status);
    Ok(answer
        .header("content-type", "application/json")
        .body(body)?)
}

impl Trick {
    /// Returns whether its refusal is evidence for a limit of the model of the others.
    fn is_evidence(self) -> bool {
        let (_, is_model) = self.kind;
        self.status == 429 && !is_model
    }

    /// Returns a request with the words in all places. Requests with other numbers differ.
    fn request(self, number: usize) -> Request<String> {
        let Self { words, status, .. } = self;
        let encoded: String = words.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (path, is_model) = self.kind;
        let path = match path {
            Path::Words => format!("/v1/{encoded}/{number}?a={encoded}"),
            Path::Files => format!("/v1/files/{number}?a={encoded}"),
            Path::Chat => format!("/v1/chat/completions?a={encoded}"),
        };
        let body = json!({
            "model": if is_model { words } else { "m" },
            "messages": [{ "role": "user", "content": words }],
            words: number,
        });
        let mut request = Request::post(path)
            .header("content-type", "application/json")
            .header("authorization", HOSTILE)
            .header(STATUS, status)
            .header(SHAPE, self.shape)
            .body(body.to_string())
            .expect("valid");
        // The hostile caller does not wait for its own hints.
        let impatient = RetryOverride::new().max_wait(Duration::ZERO);
        request.extensions_mut().insert(impatient);
        request
    }
}

/// Returns a request of another caller.
fn other() -> Request<String> {
    let mut request = chat(false);
    let credential = HeaderValue::from_static(OTHER);
    request.headers_mut().insert("authorization", credential);
    request
}

/// Sends a request of another caller. Returns whether it was fast, or why it was not served by its
/// first or second attempt.
async fn try_serve(ai: &AiStack, request: Request<String>) -> Result<bool, String> {
    let start = Instant::now();
    let response = ai.send(request).await.map_err(|it| it.to_string())?;
    let status = response.status();
    let attempts = Trail::of(response.extensions()).map_or(1, Trail::len);
    if status != StatusCode::OK || attempts > 2 {
        return Err(format!("{status} after {attempts} attempts"));
    }
    read(response).await.map_err(|it| it.to_string())?;
    Ok(start.elapsed() < PATIENCE)
}

/// Sends a request of another caller, which must be served. Returns whether this was fast.
async fn serve(ai: &AiStack, after: impl std::fmt::Debug) -> bool {
    let served = try_serve(ai, other()).await;
    served.unwrap_or_else(|error| panic!("{after:?}: {error}"))
}

/// Sends a hostile request. It gets the answer of a server, or a rejection.
async fn attack(ai: &AiStack, trick: Trick, number: usize) {
    if let Ok(response) = ai.send(trick.request(number)).await {
        assert_eq!(response.status().as_u16(), trick.status, "{trick:?}");
        drop(read(response).await);
    }
}

/// Sends hostile requests to a pool that was idle, and then a request of another caller.
async fn serve_after(tricks: &[Trick], ai: &AiStack) {
    reset(ai);
    advance(IDLE).await;
    for (number, trick) in tricks.iter().enumerate() {
        attack(ai, *trick, number).await;
    }
    assert!(serve(ai, tricks).await, "{tricks:?}: a wait");
}

async fn hostile_upstreams() -> [Upstream; 2] {
    let upstreams = upstreams(["a", "b"]).await;
    for upstream in &upstreams {
        upstream.set(Behavior::by(repeat));
    }
    upstreams
}

/// Makes a stack over real sockets that has served a request at each endpoint.
async fn stack_over(upstreams: &[Upstream; 2]) -> AiStack {
    let ai = builder_over(upstreams.each_ref().map(endpoint)).build();
    warm_up(ai.expect("valid")).await
}

/// Makes a stack over servers in this process that has served a request at each endpoint.
async fn stack_in_process() -> AiStack {
    stack_in_process_over(repeat_in_process).await
}

/// Makes the same with another server.
async fn stack_in_process_over<F>(
    server: impl Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
) -> AiStack
where
    F: Future<Output = Result<Response<String>, BoxError>> + Send + 'static,
{
    let endpoint = |name| Endpoint::new(name, &format!("http://{name}.test/v1")).expect("valid");
    let client = local_client(service_fn(server));
    let ai = builder_over(["a", "b"].map(endpoint)).build_on(client);
    warm_up(ai.expect("valid")).await
}

fn builder_over(endpoints: [Endpoint; 2]) -> AiStackBuilder {
    let key = ApiKey::new("own-key").expect("valid");
    AiStack::builder().endpoints(endpoints.map(|it| it.api_key(key.clone())))
}

async fn warm_up(ai: AiStack) -> AiStack {
    // Successes are kept in whole milliseconds since the start.
    sleep(SECOND / 200).await;
    serve_at_each(&ai).await;
    ai
}

/// Ends the limits of an earlier case.
fn reset(ai: &AiStack) {
    for name in ["a", "b"] {
        ai.endpoints().reset(name).expect("known");
    }
}

/// Sends a request to each endpoint.
async fn serve_at_each(ai: &AiStack) {
    for name in ["a", "b"] {
        let request = other().routing(RoutingOptions::new().only(name));
        let response = ai.send(request).await.expect("an answer");
        read(response).await.expect("a body");
    }
}

/// Every word under every status, in a changing shape. A status that names a limit comes with every
/// kind of request, and so does each known trick.
fn all_tricks() -> Vec<Trick> {
    let words: Vec<_> = dialect_texts().into_iter().chain(TRICKS).collect();
    assert!(words.len() > 60, "the tables are read");
    let mut tricks = Vec::new();
    for (n, words) in words.into_iter().enumerate() {
        for (m, status) in STATUSES.into_iter().enumerate() {
            let all = matches!(status, 402 | 403 | 429) || TRICKS.contains(&words);
            for (k, kind) in KINDS.into_iter().enumerate() {
                if all || k == (n + m) % KINDS.len() {
                    let shape = SHAPES[(n + m + k) % SHAPES.len()];
                    tricks.push(Trick {
                        words,
                        status,
                        shape,
                        kind,
                    });
                }
            }
        }
    }
    tricks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_a_hostile_caller_leave_others_served() {
    serve_beside(1, |_| true).await;
    // Beside a cooldown at one endpoint, nothing shows that a `500` at the other one concerns only
    // its request. In one of twenty runs, thousands of both per second open a breaker.
    serve_beside(CONCURRENT, |trick| trick.status != 500).await;
    serve_beside(CONCURRENT, |trick| !trick.is_evidence()).await;
}

/// Sends these hostile requests over real sockets, as many at a time, until all were sent.
/// Meanwhile another caller sends one request after another, which must be served.
async fn serve_beside(concurrent: usize, sends: impl Fn(&Trick) -> bool) {
    let mut tricks = all_tricks();
    tricks.retain(sends);
    let upstreams = hostile_upstreams().await;
    let ai = stack_over(&upstreams).await;
    let next = Arc::new(AtomicUsize::new(0));
    let is_done = Arc::new(AtomicBool::new(false));
    let all = tricks.len();
    let tricks = Arc::new(tricks);
    let attackers: Vec<_> = (0..concurrent)
        .map(|_| {
            let (ai, next, tricks) = (ai.clone(), next.clone(), tricks.clone());
            let is_done = is_done.clone();
            tokio::spawn(async move {
                while !is_done.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    attack(&ai, tricks[number % tricks.len()], number).await;
                }
            })
        })
        .collect();
    let (mut served, mut slow) = (0, 0);
    while served < 100 || next.load(Ordering::Relaxed) < all {
        slow += usize::from(!serve(&ai, "others").await);
        served += 1;
    }
    is_done.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.await.expect("no panic");
    }
    // A wait of the stack would concern many requests, and a busy machine delays few.
    assert!(slow * 100 <= served, "{slow} of {served}");
    // Failures of the hostile caller may open the breaker of an endpoint that serves no others.
    let taken = ai.status();
    assert!(taken.iter().any(|status| status.admissible), "{taken:?}");
    serve(&ai, "the end").await;
}

/// Sends every refusal for the model of the others, in turns of some hostile requests and some of
/// the others. Returns how many of these were served at once, and how many were delayed or refused.
async fn serve_beside_refusals(
    (hostile, others): (usize, usize),
    request: fn() -> Request<String>,
) -> (usize, usize) {
    let upstreams = hostile_upstreams().await;
    for upstream in &upstreams {
        upstream.set(Behavior::by(|received| repeat(received).latency(LATENCY)));
    }
    let ai = stack_over(&upstreams).await;
    let tricks: Vec<_> = (all_tricks().into_iter())
        .filter(|it| it.is_evidence())
        .collect();
    let mut ticks = interval(SECOND / 25);
    let mut requests = JoinSet::new();
    for (turn, tricks) in tricks.chunks(hostile).enumerate() {
        for (n, trick) in tricks.iter().enumerate() {
            ticks.tick().await;
            let (attacker, trick, number) = (ai.clone(), *trick, turn * hostile + n);
            requests.spawn(async move {
                attack(&attacker, trick, number).await;
                None
            });
        }
        for _ in 0..others {
            ticks.tick().await;
            let other = ai.clone();
            requests.spawn(async move { Some(try_serve(&other, request()).await == Ok(true)) });
        }
    }
    let (mut served, mut delayed) = (0, 0);
    // Without ticks, the clock would jump to a timeout while the sockets are slow.
    loop {
        tokio::select! {
            done = requests.join_next() => match done.map(|done| done.expect("no panic")) {
                Some(Some(true)) => served += 1,
                Some(Some(false)) => delayed += 1,
                Some(None) => {}
                None => return (served, delayed),
            },
            _ = ticks.tick() => {}
        }
    }
}

/// The outcomes of the others show that the refusals of a known caller concern only itself. Until
/// then, the requests of the others test the limit.
#[tokio::test(start_paused = true)]
async fn refusals_of_a_known_caller_leave_others_served() {
    for turn in [(1, 7), (1, 1), (4, 1), (12, 1)] {
        let (served, delayed) = serve_beside_refusals(turn, other).await;
        assert!(served > 30 && delayed == 0, "{turn:?}: {served}, {delayed}");
    }
}

/// Four connections send refused requests without a pause, about two thousand per second. The first
/// ones come before the caller is known.
#[tokio::test(start_paused = true)]
async fn flood_of_refusals_of_a_known_caller_leaves_others_served() {
    const MS: Duration = Duration::from_millis(1);
    let tricks: Vec<_> = (all_tricks().into_iter())
        .filter(|it| it.is_evidence())
        .collect();
    for first in [0, 7, 117] {
        let server = |request| async {
            sleep(MS).await;
            repeat_in_process(request).await
        };
        let ai = stack_in_process_over(server).await;
        let mut attackers = JoinSet::new();
        for attacker in 0..CONCURRENT {
            let (ai, tricks) = (ai.clone(), tricks.clone());
            attackers.spawn(async move {
                for n in (attacker..).step_by(CONCURRENT) {
                    let trick = tricks[(first + 37 * n) % tricks.len()];
                    attack(&ai, trick, n).await;
                    sleep(MS).await;
                }
            });
        }
        for n in 0..300 {
            assert!(serve(&ai, (first, n)).await, "{first}: {n} waited");
            sleep(3 * MS).await;
        }
    }
}

/// A used-up quota of the model refuses a share of its requests, too, at the same times. So a large
/// share limits the model until a send rate has shown that it does not reduce the refusals.
#[tokio::test(start_paused = true)]
async fn refusals_of_a_share_of_a_model_leave_others_served() {
    for (others, most) in [(7, 0), (3, 10)] {
        let (served, delayed) = serve_beside_refusals((1, others), || chat(false)).await;
        assert!(served > 1_000 && delayed <= most, "{served}, {delayed}");
    }
}

/// No recent success shows that a refusal concerns only its own request.
#[tokio::test(start_paused = true)]
async fn hostile_request_to_idle_pool_leaves_others_served() {
    let ai = stack_in_process().await;
    for trick in all_tricks() {
        serve_after(&[trick], &ai).await;
    }
}

/// Different requests of one caller look like requests of several callers.
#[tokio::test(start_paused = true)]
async fn several_hostile_requests_to_idle_pool_leave_others_served() {
    let ai = stack_in_process().await;
    for status in STATUSES {
        for kinds in [[0, 0, 0], [2, 2, 2], [3, 3, 3], [0, 1, 3], [3, 0, 2]] {
            for words in TRICKS {
                // More failures open the breakers.
                let rounds = if status == 500 { 1 } else { 3 };
                let kinds = (0..rounds).flat_map(|_| kinds);
                let tricks: Vec<_> = (kinds.zip(SHAPES.iter().cycle()))
                    .map(|(kind, shape)| Trick {
                        words,
                        status,
                        shape,
                        kind: KINDS[kind],
                    })
                    .collect();
                serve_after(&tricks, &ai).await;
            }
        }
    }
}
