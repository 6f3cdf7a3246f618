//! Slow answers: a rescue elsewhere while the slow attempt continues, and at most one attempt after
//! a timeout.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use stack_tests::{
    AnswerBody, SECOND, assert_idle, body_of_chunks, body_of_text, chat, local_client, read,
    served_by, stack, status_of, upstreams,
};
use steadfast::config::{EndpointConfig, StackConfig};
use steadfast::crates::core::BreakerState;
use steadfast::{
    AiStack, AiStackBuilder, Class, Deadline, Endpoint, RequestBody, RequestExt, RetryOn429Layer,
    Timeouts, Trail,
};
use steadfast_testkit::Reply;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt;

const MS: Duration = Duration::from_millis(1);
const ANSWER: &str = r#"{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// The behaviour of the endpoints of a stack in this process, by their host.
#[derive(Clone, Debug, Default)]
struct Servers(Arc<Mutex<HashMap<String, Server>>>);

#[derive(Clone, Copy, Debug)]
struct Server {
    status: u16,
    /// The time to the head, and from there to the first token of a stream.
    head: Duration,
    token: Duration,
    /// Whether pings are sent before the first token.
    pings: bool,
    received: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            status: 200,
            head: 10 * MS,
            token: Duration::ZERO,
            pings: false,
            received: 0,
        }
    }
}

impl Servers {
    fn change(&self, name: &str, change: impl FnOnce(&mut Server)) {
        change(self.0.lock().unwrap().entry(name.to_owned()).or_default());
    }

    fn answer_after(&self, name: &str, head: Duration) {
        self.change(name, |server| server.head = head);
    }

    fn received(&self, name: &str) -> usize {
        let mut received = 0;
        self.change(name, |server| received = server.received);
        received
    }

    fn all_received(&self, names: &[&str]) -> Vec<usize> {
        names.iter().map(|name| self.received(name)).collect()
    }

    fn build(&self, builder: AiStackBuilder) -> AiStack {
        let servers = self.clone();
        let client = tower::service_fn(move |request: Request<RequestBody>| {
            let name = request.uri().port().map(|port| port.as_str().to_owned());
            let name = name.unwrap_or_else(|| request.uri().host().unwrap().replace(".test", ""));
            let mut now = Server::default();
            servers.change(&name, |server| {
                server.received += 1;
                now = *server;
            });
            async move {
                let stream = is_stream(request).await;
                sleep(now.head).await;
                Ok::<_, Infallible>(now.response(&name, stream))
            }
        });
        builder.build_on(local_client(client)).expect("a stack")
    }

    /// Makes a stack over these endpoints.
    fn stack(&self, names: &[&str]) -> AiStackBuilder {
        let endpoint = |name: &&str| Endpoint::new(name, &format!("http://{name}.test/v1"));
        let endpoints = names.iter().map(|name| endpoint(name).unwrap());
        let _ = self;
        AiStack::builder().endpoints(endpoints)
    }
}

impl Server {
    fn response(self, name: &str, stream: bool) -> Response<AnswerBody> {
        let kind = if stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let response = Response::builder()
            .status(self.status)
            .header("x-upstream", name)
            .header("content-type", kind);
        let body = if stream {
            self.events()
        } else {
            body_of_text(ANSWER)
        };
        response.body(body).expect("a response")
    }

    fn events(self) -> AnswerBody {
        let pings = if self.pings { self.token.as_secs() } else { 0 };
        let rest = self.token - pings as u32 * SECOND;
        let pings = tokio_stream::iter(0..pings).then(|_| async {
            sleep(SECOND).await;
            Bytes::from_static(b": keep-alive\n\n")
        });
        let token = tokio_stream::iter([TOKEN, DONE]).then(move |text| async move {
            sleep(if text == TOKEN { rest } else { Duration::ZERO }).await;
            Bytes::from_static(text.as_bytes())
        });
        body_of_chunks(Box::pin(pings.chain(token)))
    }
}

async fn is_stream(request: Request<RequestBody>) -> bool {
    let body = http_body_util::BodyExt::collect(request.into_body()).await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    body.windows(13).any(|part| part == b"\"stream\":true")
}

/// The stack of the shipped sample.
fn sample(servers: &Servers) -> AiStack {
    let sample: toml::Table = include_str!("../../examples/gateway.toml").parse().unwrap();
    let stack: StackConfig = sample["stack"].clone().try_into().unwrap();
    let endpoints: Vec<EndpointConfig> = sample["endpoint"].clone().try_into().unwrap();
    servers.build(stack.builder(&endpoints).expect("a valid sample"))
}

// ===== Requirements =====

/// It ended in a 504 after 90 s, and three endpoints had billed it.
#[tokio::test(start_paused = true)]
async fn slow_model_answers_with_sample_configuration() {
    for (stream, pings, head, token) in [
        (false, false, 35, 0),
        (true, false, 0, 40),
        (true, true, 0, 40),
        (true, false, 40, 0),
        (false, false, 500, 0),
    ] {
        let servers = Servers::default();
        for name in ["9001", "9002", "9003"] {
            servers.change(name, |server| {
                server.head = head * SECOND;
                server.token = token * SECOND;
                server.pings = pings;
            });
        }
        let ai = sample(&servers);
        let start = Instant::now();
        let response = ai.send(chat(stream)).await.expect("an answer");
        assert_eq!(
            (response.status(), served_by(&response)),
            (200.try_into().unwrap(), "9001".into())
        );
        assert_eq!(start.elapsed(), (head + token) * SECOND);
        let body = read(response).await.expect("a whole body");
        assert!(!body.is_empty());
        let received = servers.all_received(&["9001", "9002", "9003"]);
        assert!(received.iter().sum::<usize>() <= 2, "{received:?}");
        assert_idle(&ai);
    }
}

#[tokio::test(start_paused = true)]
async fn request_leaves_silent_primary_after_31_s_and_fast_one_after_2_s() {
    for (answers, limit) in [(0, 31), (19, 31), (20, 2), (500, 2)] {
        for stream in [false, true] {
            let servers = Servers::default();
            let ai = servers.build(servers.stack(&["a", "b"]));
            for _ in 0..answers {
                read(ai.send(chat(stream)).await.unwrap()).await.unwrap();
            }
            servers.answer_after("a", FOREVER);
            let start = Instant::now();
            let response = ai.send(chat(stream)).await.expect("an answer");
            assert_eq!(served_by(&response), "b");
            let took = start.elapsed();
            assert!(took <= limit * SECOND, "{took:?} after {answers} answers");
            assert!(
                took >= (limit - 1) * SECOND,
                "{took:?} after {answers} answers"
            );
            let trail = Trail::of(response.extensions())
                .expect("two attempts")
                .to_string();
            assert!(trail.starts_with("b: success (200), a: timeout"), "{trail}");
            drop(response);
            assert_idle(&ai);
        }
    }
}

/// Over sockets, with the connection of the attempt that is left.
#[tokio::test]
async fn rescue_over_sockets_closes_connection_of_silent_primary() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    primary.set(Reply::silence());
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.rescue_after = 100 * MS;
    let ai = stack([&primary, &backup])
        .timeouts(timeouts)
        .build()
        .unwrap();
    for stream in [false, true] {
        let answer = timeout(5 * SECOND, ai.send(chat(stream))).await;
        let response = answer.expect("long before a timeout").unwrap();
        assert_eq!(served_by(&response), "backup");
        read(response).await.expect("a whole body");
    }
    let [sent, again] = [&primary, &backup].map(|upstream| upstream.log()[0].body.clone());
    assert_eq!(sent, again, "the same bytes");
    assert_idle(&ai);
}

// ===== The attempts of a rescued request =====

#[tokio::test(start_paused = true)]
async fn first_good_answer_of_two_is_returned() {
    for (slow, rescue, status, by, took) in [
        (50, 10, 200, "a", 40),
        (50, 30, 200, "a", 50),
        (50, 10, 500, "a", 50),
        (50, 10, 429, "a", 50),
    ] {
        let by = if (status, slow > 30 + rescue) == (200, true) {
            "b"
        } else {
            by
        };
        let servers = Servers::default();
        servers.answer_after("a", slow * SECOND);
        servers.change("b", |b| (b.head, b.status) = (rescue * SECOND, status));
        let ai = servers.build(servers.stack(&["a", "b", "c"]));
        let start = Instant::now();
        let response = ai.send(chat(false)).await.expect("an answer");
        assert_eq!(
            (served_by(&response).as_str(), response.status().as_u16()),
            (by, 200)
        );
        assert_eq!(start.elapsed(), took * SECOND);
        assert_eq!(servers.all_received(&["a", "b", "c"]), [1, 1, 0]);
        drop(response);
        assert_idle(&ai);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_of_slow_attempt_leaves_its_rescue() {
    for (status, expected) in [(200, 200), (500, 500), (400, 400)] {
        let servers = Servers::default();
        servers.change("a", |a| (a.head, a.status) = (35 * SECOND, 500));
        servers.change("b", |b| (b.head, b.status) = (10 * SECOND, status));
        let ai = servers.build(servers.stack(&["a", "b", "c"]));
        let start = Instant::now();
        let response = ai.send(chat(false)).await.expect("an answer");
        assert_eq!(
            (served_by(&response).as_str(), response.status().as_u16()),
            ("b", expected)
        );
        assert_eq!(start.elapsed(), 40 * SECOND);
        assert_eq!(servers.all_received(&["a", "b", "c"]), [1, 1, 0]);
        drop(response);
        assert_idle(&ai);
    }
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_during_rescue_ends_both_attempts() {
    let servers = Servers::default();
    servers.answer_after("a", FOREVER);
    servers.answer_after("b", FOREVER);
    let ai = servers.build(servers.stack(&["a", "b"]));
    timeout(40 * SECOND, ai.send(chat(false)))
        .await
        .expect_err("no answer");
    assert_eq!(servers.all_received(&["a", "b"]), [1, 1]);
    assert_idle(&ai);
}

/// The request was sent to a third endpoint, and billed three times.
#[tokio::test(start_paused = true)]
async fn one_attempt_follows_a_timeout() {
    for rescue_after in [Duration::MAX, 30 * SECOND] {
        let servers = Servers::default();
        for name in ["a", "b", "c"] {
            servers.answer_after(name, FOREVER);
        }
        let mut timeouts = Timeouts::DEFAULT;
        timeouts.rescue_after = rescue_after;
        let ai = servers.build(servers.stack(&["a", "b", "c"]).timeouts(timeouts));
        let start = Instant::now();
        let error = ai.send(chat(false)).await.expect_err("silence");
        assert_eq!(steadfast::error_response(&error).status(), 504);
        assert_eq!(servers.all_received(&["a", "b", "c"]), [1, 1, 0]);
        assert!(start.elapsed() <= 1_200 * SECOND);
        assert_idle(&ai);
    }
}

// ===== Requests without a rescue =====

#[tokio::test(start_paused = true)]
async fn unsafe_pinned_and_lone_requests_get_no_rescue() {
    let request = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        request.body(r#"{"model":"m"}"#.to_owned()).unwrap()
    };
    for (names, request) in [
        (&["a", "b"][..], request("POST", "/v1/unknown")),
        (&["a", "b"], request("POST", "/v1/threads/t/runs")),
        (&["a", "b"], request("GET", "/v1/files/f")),
        (&["a"], chat(false)),
    ] {
        let servers = Servers::default();
        servers.answer_after("a", 100 * SECOND);
        let ai = servers.build(servers.stack(names));
        let (path, start) = (request.uri().path().to_owned(), Instant::now());
        let response = ai.send(request).await.expect("an answer");
        assert_eq!(start.elapsed(), 100 * SECOND, "{path}");
        assert_eq!(served_by(&response), "a");
        assert_eq!(servers.all_received(&["a", "b"]), [1, 0], "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_attempt_per_request_leaves_no_rescue() {
    let servers = Servers::default();
    servers.answer_after("a", 100 * SECOND);
    let retry = RetryOn429Layer::new().max_attempts(1);
    let ai = servers.build(servers.stack(&["a", "b"]).retry(retry));
    ai.send(chat(false)).await.expect("an answer");
    assert_eq!(servers.all_received(&["a", "b"]), [1, 0]);
}

/// A model that thinks for a minute would be billed twice for each request.
#[tokio::test(start_paused = true)]
async fn usual_latency_of_a_model_is_learned() {
    let servers = Servers::default();
    servers.answer_after("a", 50 * SECOND);
    servers.answer_after("b", 50 * SECOND);
    let ai = servers.build(servers.stack(&["a", "b"]));
    for n in 0..50 {
        let response = ai.send(chat(false)).await.expect("an answer");
        assert_eq!(served_by(&response), "a", "request {n}");
    }
    assert_eq!(servers.received("b"), 1, "only the first one");
}

/// Each answer would come from the backup, and be billed twice, for ever.
#[tokio::test(start_paused = true)]
async fn endpoint_that_has_become_slower_serves_again() {
    for seconds in [3, 8] {
        let servers = Servers::default();
        let ai = servers.build(servers.stack(&["a", "b"]));
        for _ in 0..300 {
            ai.send(chat(false)).await.expect("an answer");
        }
        servers.answer_after("a", seconds * SECOND);
        let mut by = Vec::new();
        for _ in 0..200 {
            by.push(served_by(&ai.send(chat(false)).await.expect("an answer")));
            sleep(SECOND).await;
        }
        assert!(by[150..].iter().all(|by| by == "a"), "{seconds} s: {by:?}");
        assert_idle(&ai);
    }
}

/// The p99 of answers does not exceed a close deadline, and both attempts get time.
#[tokio::test(start_paused = true)]
async fn rescue_starts_at_half_of_a_deadline() {
    let servers = Servers::default();
    servers.answer_after("a", FOREVER);
    let ai = servers.build(servers.stack(&["a", "b"]).timeouts(Timeouts::SHORT));
    let start = Instant::now();
    let response = ai.send(chat(false)).await.expect("an answer");
    assert_eq!(served_by(&response), "b");
    assert_eq!(start.elapsed(), 5 * SECOND + 10 * MS);

    // The profile of one request has the same effect.
    let own = servers.build(servers.stack(&["a", "b"]));
    let start = Instant::now();
    let request = chat(false).timeouts(Timeouts::SHORT);
    own.send(request).await.expect("an answer");
    assert_eq!(start.elapsed(), 5 * SECOND + 10 * MS);

    // Two attempts in silence put an endpoint in doubt.
    let ai = servers.build(servers.stack(&["a", "b"]));
    let start = Instant::now();
    let request = chat(false).deadline(Deadline::after(4 * SECOND));
    ai.send(request).await.expect("an answer");
    assert_eq!(start.elapsed(), 2 * SECOND + 10 * MS);
}

// ===== Cost and evidence =====

/// A caller with short limits opened the breaker of the only endpoint, which served all others.
#[tokio::test(start_paused = true)]
async fn limits_of_one_caller_are_no_evidence_about_its_endpoint() {
    let mut own = Timeouts::DEFAULT;
    (own.head, own.first_token, own.total) = (SECOND, SECOND, SECOND);
    for (stream, (head, token)) in [(false, (2, 0)), (true, (2, 0)), (true, (0, 2))] {
        let servers = Servers::default();
        servers.change("a", |a| (a.head, a.token) = (head * SECOND, token * SECOND));
        let ai = servers.build(servers.stack(&["a"]));
        ai.send(chat(stream)).await.expect("an answer");
        for _ in 0..10 {
            let mut requests = JoinSet::new();
            for _ in 0..3 {
                let (ai, request) = (ai.clone(), chat(stream).timeouts(own));
                requests.spawn(async move { ai.send(request).await.is_ok() });
            }
            ai.send(chat(stream)).await.expect("an answer");
            assert_eq!(requests.join_all().await, [false; 3]);
        }
        assert_eq!(
            ai.status()[0].breaker,
            BreakerState::Closed,
            "{head} {token}"
        );
        assert_eq!(ai.status()[0].health, 1.0);
    }
    // A limit that is no shorter than the one of the stack is not the caller's.
    let servers = Servers::default();
    servers.answer_after("a", 4 * SECOND);
    (own.head, own.total) = (3 * SECOND, 3 * SECOND);
    let ai = servers.build(servers.stack(&["a"]).timeouts(own));
    for _ in 0..7 {
        assert!(ai.send(chat(false).timeouts(own)).await.is_err());
    }
    assert_eq!(ai.status()[0].breaker, BreakerState::Open);
}

/// Each caller waits for 30 s at a silent endpoint. Its breaker ends that.
#[tokio::test(start_paused = true)]
async fn silent_endpoint_loses_its_traffic_and_slow_one_does_not() {
    for (silent, expected) in [(true, BreakerState::Open), (false, BreakerState::Closed)] {
        let servers = Servers::default();
        let ai = servers.build(servers.stack(&["a", "b"]));
        // An endpoint that has never served is in doubt sooner.
        ai.send(chat(false)).await.expect("an answer");
        servers.answer_after("a", FOREVER);
        let mut requests = JoinSet::new();
        for _ in 0..10 {
            let ai = ai.clone();
            requests.spawn(async move { ai.send(chat(false)).await.expect("an answer") });
        }
        // The endpoint is in doubt, and gets a request every two seconds.
        sleep(2 * SECOND).await;
        if !silent {
            // The endpoint serves another request meanwhile.
            servers.answer_after("a", 10 * MS);
            ai.send(chat(false)).await.expect("an answer");
        }
        requests.join_all().await;
        assert_eq!(status_of(&ai, "a").breaker, expected);
        let reason = status_of(&ai, "a").breaker_reason;
        assert_eq!(
            reason.is_some_and(|it| it.to_string().contains("no answer until")),
            silent
        );
    }
}

/// Rescues beside endpoints that serve cost more tokens than a success returns.
#[tokio::test(start_paused = true)]
async fn rescues_stay_within_a_share_of_requests() {
    let servers = Servers::default();
    let ai = servers.build(servers.stack(&["a", "b"]));
    ai.send(chat(false)).await.expect("an answer");
    servers.answer_after("a", 100 * SECOND);
    let mut requests = JoinSet::new();
    for _ in 0..1_000 {
        let ai = ai.clone();
        requests.spawn(async move { ai.send(chat(false)).await.expect("an answer") });
    }
    // The endpoint is in doubt, and gets a request every two seconds.
    sleep(2 * SECOND).await;
    servers.answer_after("a", 10 * MS);
    ai.send(chat(true)).await.expect("an answer");
    requests.join_all().await;
    let rescued = servers.received("b");
    assert!(
        (10..=36).contains(&rescued),
        "{rescued} of 1000: 500 tokens, 14 each"
    );
}

/// 500 requests at a silent endpoint are all rescued: the price of a move comes back.
#[tokio::test(start_paused = true)]
async fn herd_at_silent_endpoint_is_rescued() {
    let servers = Servers::default();
    servers.answer_after("a", FOREVER);
    let ai = servers.build(servers.stack(&["a", "b"]));
    let start = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..500 {
        let ai = ai.clone();
        requests.spawn(async move { ai.send(chat(false)).await.expect("an answer").status() });
    }
    assert!(requests.join_all().await.iter().all(|it| it.is_success()));
    assert!(start.elapsed() <= 45 * SECOND, "{:?}", start.elapsed());
    assert_idle(&ai);
}

#[tokio::test(start_paused = true)]
async fn timeout_of_an_sdk_ends_a_request_if_applied() {
    for (apply, value, expected) in [
        (true, "7", Some(7)),
        (true, "0.5e1", Some(5)),
        (true, "-1", None),
        (true, "nan", None),
        (true, "1e999", None),
        (true, "soon", None),
        (false, "7", None),
    ] {
        let servers = Servers::default();
        servers.answer_after("a", 20 * SECOND);
        let ai = servers.build(servers.stack(&["a"]).caller_timeouts(apply));
        let mut request = chat(false);
        let headers = request.headers_mut();
        headers.insert("x-stainless-read-timeout", value.parse().unwrap());
        let start = Instant::now();
        let outcome = ai.send(request).await;
        assert_eq!(outcome.is_err(), expected.is_some(), "{apply} {value}");
        assert_eq!(start.elapsed(), expected.unwrap_or(20) * SECOND, "{value}");
        if let Err(error) = outcome {
            assert_eq!(
                steadfast::crates::core::layer::verdict_of_error(&error).class(),
                Class::Timeout
            );
        }
    }
}
