//! The gateway of `examples/gateway`, over real sockets on both sides.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use examples::gateway::{Config, DRAIN, MAX_BODY, install_metrics, router, serve};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use stack_tests::{SECOND, upstreams};
use steadfast::{AiStack, BoxError};
use steadfast_testkit::{Hint, Reply, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, timeout};

const CHAT: &str = "/v1/chat/completions";
const ASKED: &str = r#"{"model":"m","messages":[]}"#;
const STREAMED: &str = r#"{"model":"m","messages":[],"stream":true}"#;

// ===== What passes =====

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let request = Request::post(gateway.url("/v1/embeddings?user=a%20b"))
        .header("content-type", "application/json; charset=utf-8")
        .header("x-request-id", "7")
        .header("expect", "100-continue")
        .header("connection", "x-private")
        .header("x-private", "1");
    let body = r#"{ "model":"m",  "input":"hé" }"#;
    let answer = gateway.send(request.body(full(body)).unwrap()).await;

    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-steadfast-attempts"));
    let received = &upstream.log()[0];
    assert_eq!(received.path_and_query, "/v1/embeddings?user=a%20b");
    assert_eq!(received.body, body);
    assert_eq!(
        received.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(received.header("x-request-id"), Some("7"));
    assert_eq!(received.header("x-private"), None);
    assert_eq!(received.header("expect"), None, "it was answered");
    assert_eq!(
        received.header("host"),
        Some(&*upstream.addr().to_string()),
        "not that of the gateway"
    );
}

#[tokio::test]
async fn an_answer_passes_without_what_belongs_to_its_connection() {
    let upstream = Upstream::start().await.unwrap();
    let headers = [
        ("connection", "x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("x-request-id", "7"),
    ];
    upstream.next(Reply::raw(418, headers, "short and stout"));
    let gateway = Gateway::over(&[&upstream]).await;
    let answer = gateway.get("/v1/models").await;

    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["x-request-id"], "7");
    for name in [
        "connection",
        "x-private",
        "keep-alive",
        "proxy-authenticate",
    ] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    assert_eq!(text(answer).await, "short and stout");
}

#[tokio::test]
async fn an_http2_client_for_another_authority_reaches_an_http1_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let socket = TcpStream::connect(gateway.addr).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);

    let request = Request::post(format!("http://api.example.test{CHAT}"));
    let answer = sender
        .send_request(request.body(full(ASKED)).unwrap())
        .await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    let received = &upstream.log()[0];
    assert_eq!(received.version, Version::HTTP_11);
    assert_eq!(received.path(), CHAT);
    assert!(!received.contains("example.test"), "{:?}", received.headers);
}

#[tokio::test]
async fn endpoints_get_their_own_key_and_nothing_of_the_caller() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    // Variables can be set only in unsafe code. Cargo sets this one for every test.
    const KEY: &str = env!("CARGO_PKG_NAME");
    let config = format!(
        "{}api_key_env = 'CARGO_PKG_NAME'\n{}",
        endpoint("first", &first.url()),
        endpoint("second", &second.url()),
    );
    let gateway = Gateway::start(&config).await;
    let request = Request::post(gateway.url(&format!("{CHAT}?key=callers-secret&a=1")))
        .header("authorization", "Bearer callers-secret")
        .header("x-api-key", "callers-secret")
        .header("api-key", "callers-secret")
        .header("x-goog-api-key", "callers-secret")
        .header("cookie", "session=callers-secret")
        .header("proxy-authorization", "Basic callers-secret");
    let answer = gateway.send(request.body(full(ASKED)).unwrap()).await;
    assert_eq!(answer.status(), 200);

    let (first, second) = (&first.log()[0], &second.log()[0]);
    assert_eq!(
        first.header("authorization"),
        Some(&*format!("Bearer {KEY}"))
    );
    assert_eq!(second.header("authorization"), None);
    assert!(!second.contains(KEY), "the key of the first endpoint");
    for received in [first, second] {
        assert!(!received.contains("callers-secret"), "{received:?}");
        assert_eq!(received.path_and_query, format!("{CHAT}?a=1"));
    }
}

// ===== Failover =====

#[tokio::test]
async fn a_limited_endpoint_is_left_for_the_next_one_and_the_answer_says_so() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let gateway = Gateway::over(&[&first, &second]).await;
    let answer = gateway.post(CHAT, ASKED).await;

    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-upstream"], "second");
    assert_eq!(answer.headers()["x-steadfast-attempts"], "2");
    assert_eq!(answer.headers()["x-steadfast-endpoint"], "second");
    assert_eq!(first.log()[0].body, second.log()[0].body);

    let answer = gateway.post(CHAT, ASKED).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-steadfast-attempts"));
    assert_eq!(first.counts().requests, 1, "it cools");
}

/// The body is in memory already, so that it can be sent again.
#[tokio::test]
async fn a_large_body_is_taken_by_the_next_one_too() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.set(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let gateway = Gateway::over(&[&first, &second]).await;
    let asked = format!(
        r#"{{"model":"m","messages":[],"pad":"{}"}}"#,
        "x".repeat(2 << 20)
    );
    let answer = gateway.post(CHAT, &asked).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-upstream"], "second");
    assert_eq!(second.log()[0].body, asked);
}

#[tokio::test]
async fn where_all_are_limited_the_last_answer_passes_with_its_hint() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.set(Reply::rate_limited(Hint::RetryAfter(2 * MINUTE)));
    second.set(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let gateway = Gateway::over(&[&first, &second]).await;
    let answer = gateway.post(CHAT, ASKED).await;

    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "60");
    assert_eq!(answer.headers()["x-steadfast-attempts"], "2");
    assert_eq!(answer.headers()["x-steadfast-endpoint"], "second");
    assert!(json(answer).await["error"]["message"].is_string());

    // Both cool now, so the stack itself answers.
    let answer = gateway.post(CHAT, ASKED).await;
    assert_eq!(answer.status(), 503);
    let wait: u64 = header(&answer, "retry-after").parse().unwrap();
    assert!((59..=60).contains(&wait), "{wait}");
    assert_eq!(json(answer).await["error"]["code"], "rate_limited");
}

#[tokio::test]
async fn where_all_are_down_the_error_is_json_and_says_what_was_tried() {
    let [first, second] = upstreams(["first", "second"]).await;
    let gateway = Gateway::over(&[&first, &second]).await;
    first.cut_off();
    second.cut_off();
    let answer = gateway.post(CHAT, ASKED).await;

    assert_eq!(answer.status(), 502);
    let attempts: u32 = header(&answer, "x-steadfast-attempts").parse().unwrap();
    assert!(attempts >= 2, "{attempts}");
    let error = &json(answer).await["error"];
    assert_eq!(error["code"], "connect");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("second: connect")
    );
}

// ===== Streams =====

#[tokio::test]
async fn the_first_chunk_passes_although_the_last_one_is_never_made() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().chunks(3).stall_after(2));
    let gateway = Gateway::over(&[&upstream]).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut answer = gateway.stream(version).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let codings = answer.headers().get_all("transfer-encoding").iter().count();
        assert_eq!(codings, usize::from(version == Version::HTTP_11));
        let mut events = String::new();
        while events.matches("data:").count() < 3 {
            events += &chunk(&mut answer).await.expect("a chunk");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_pass_one_by_one() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().chunks(4).chunk_delay(SECOND));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut answer = gateway.stream(Version::HTTP_11).await;
    let mut arrived = Vec::new();
    let mut events = String::new();
    while let Some(chunk) = chunk(&mut answer).await {
        arrived.push(Instant::now());
        events += &chunk;
    }
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
    let pauses = arrived.windows(2).map(|pair| pair[1] - pair[0]);
    let pauses = pauses.filter(|pause| *pause >= SECOND).count();
    assert_eq!(
        pauses, 4,
        "one before each further chunk, and one before the end"
    );
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_ends_the_stream_of_the_endpoint() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = Upstream::start().await.unwrap();
        upstream.set(Reply::ok().stall_after(1));
        let gateway = Gateway::over(&[&upstream]).await;
        let mut answer = gateway.stream(version).await;
        chunk(&mut answer).await.expect("a chunk");
        assert_eq!(upstream.counts().streams_aborted, 0);

        drop(answer);
        let aborted = upstream.wait_until(|counts| counts.streams_aborted == 1);
        in_time(aborted).await;
        gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_attempt() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = Upstream::start().await.unwrap();
        upstream.set(Reply::silence());
        let gateway = Gateway::over(&[&upstream]).await;
        let url = gateway.url(CHAT);
        let asking = tokio::spawn(async move {
            let request = Request::post(url).body(full(ASKED)).unwrap();
            client(version).request(request).await
        });
        in_time(upstream.wait_for_requests(1)).await;
        asking.abort();
        gateway.until(|stack| stack.snapshot().cancelled == 1).await;
        assert_eq!(gateway.stack.status()[0].in_flight, 0);
    }
}

/// A client that saw a clean end would take half an answer for a whole one.
#[tokio::test]
async fn a_stream_that_breaks_does_not_end_cleanly() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for reply in [Reply::ok().cut_after(1), Reply::ok().truncate_after(1)] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            upstream.next(reply.clone());
            let answer = gateway.stream(version).await;
            assert_eq!(answer.status(), 200);
            let body = in_time(answer.into_body().collect()).await;
            assert!(body.is_err(), "{version:?} {reply:?}");
        }
    }
}

// ===== Limits =====

#[tokio::test]
async fn a_body_may_be_large_but_not_endless() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let body = |size| Full::new(Bytes::from(vec![b' '; size]));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for (size, chunked, expected) in [
            (2 << 20, false, 200),
            (2 << 20, true, 200),
            (MAX_BODY + 1, false, 413),
            (MAX_BODY + 1, true, 413),
        ] {
            let body = match chunked {
                // What is mapped has no known size.
                true => body(size).map_frame(|frame| frame).boxed_unsync(),
                false => body(size).boxed_unsync(),
            };
            let request = Request::post(gateway.url(CHAT)).body(body).unwrap();
            let answer = in_time(client(version).request(request)).await.unwrap();
            assert_eq!(answer.status(), expected, "{version:?} {size} {chunked}");
            if expected == 413 {
                assert_eq!(json(answer).await["error"]["code"], "body_too_large");
            }
        }
    }
    assert_eq!(upstream.counts().requests, 4);
    assert!(
        upstream
            .log()
            .iter()
            .all(|received| received.body.len() == 2 << 20)
    );
}

/// Many clients listen only when they have sent all they have. One whose connection is closed
/// before that sees a broken pipe, and nobody learns why.
#[tokio::test]
async fn a_client_that_sends_too_much_is_heard_out() {
    let gateway = Gateway::start(&endpoint("down", "http://127.0.0.1:1/v1")).await;
    let size = MAX_BODY + (8 << 20);
    let body = " ".repeat(size);
    for sent in [
        format!("content-length: {size}\r\n\r\n{body}"),
        format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
        let head = format!("POST {CHAT} HTTP/1.1\r\nhost: gateway.test\r\n");
        in_time(socket.write_all((head + &sent).as_bytes()))
            .await
            .unwrap();
        let mut answer = [0; 12];
        in_time(socket.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}

/// Reading on would tell it to go on, or wait for what it will not send.
#[tokio::test(start_paused = true)]
async fn a_client_that_asks_first_is_not_told_to_send_too_much() {
    let gateway = Gateway::start(&endpoint("down", "http://127.0.0.1:1/v1")).await;
    let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
    let size = MAX_BODY + 1;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: gateway.test\r\n\
         expect: 100-continue\r\ncontent-length: {size}\r\n\r\n"
    );
    let asked = Instant::now();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(asked.elapsed() < SECOND, "the connection was kept");
}

#[tokio::test]
async fn what_is_not_under_v1_reaches_no_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for path in ["/", "/v1", "/v2/models", "/v1/../admin", "/v1/%2E%2e/admin"] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(json(answer).await["error"]["code"], "not_found");
    }
    assert_eq!(upstream.counts().requests, 0);
}

// ===== What an operator sees =====

#[tokio::test]
async fn the_status_tells_which_endpoint_cools_and_for_how_long() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let config = format!(
        "{}{}tier = 1\n",
        endpoint("first", &first.url()),
        endpoint("second", &second.url())
    );
    let gateway = Gateway::start(&config).await;
    let answer = gateway.post(CHAT, ASKED).await;
    text(answer).await;

    let status = json(gateway.get("/status").await).await;
    let [first_now, second_now] = &status["endpoints"].as_array().unwrap()[..] else {
        panic!("{status}");
    };
    assert_eq!(first_now["name"], "first");
    assert_eq!(first_now["base"], first.url());
    assert_eq!(first_now["tier"], 0);
    assert_eq!(first_now["breaker"], "closed", "limited is not broken");
    assert_eq!(first_now["health"], 1.0);
    assert_eq!(first_now["admissible"], false);
    let cooling = first_now["cooling_seconds"].as_f64().unwrap();
    assert!(cooling > 50.0 && cooling <= 60.0, "{cooling}");
    assert!(first_now["latency_seconds"].is_null());

    assert_eq!(second_now["tier"], 1);
    assert_eq!(second_now["admissible"], true);
    assert!(second_now["cooling_seconds"].is_null());
    assert!(second_now["latency_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(second_now["in_flight"], 0);

    let requests = &status["requests"];
    for (field, expected) in [
        ("total", 1),
        ("successful", 1),
        ("attempts", 2),
        ("failovers", 1),
        ("in_flight", 0),
    ] {
        assert_eq!(requests[field], expected, "{field}");
    }
    assert_eq!(requests["success_rate"], 1.0);
}

#[tokio::test]
async fn the_status_tells_whose_breaker_is_open() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::status(500));
    let config = format!(
        "{}[endpoint.breaker]\nconsecutive_failures = 1\n",
        endpoint("broken", &upstream.url())
    );
    let gateway = Gateway::start(&config).await;
    assert_eq!(gateway.post(CHAT, ASKED).await.status(), 500);
    let status = json(gateway.get("/status").await).await;
    assert_eq!(status["endpoints"][0]["breaker"], "open");
    assert_eq!(status["endpoints"][0]["admissible"], false);
}

#[tokio::test]
async fn the_metrics_are_there_for_prometheus() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    // The recorder is that of the process: only names of its own tell tests apart.
    let config = format!(
        "{}{}",
        endpoint("measured-1", &first.url()),
        endpoint("measured-2", &second.url())
    );
    let gateway = Gateway::start(&config).await;
    let answer = gateway.post(CHAT, ASKED).await;
    text(answer).await;

    let answer = gateway.get("/metrics").await;
    assert!(header(&answer, "content-type").starts_with("text/plain; version=0.0.4"));
    let metrics = text(answer).await;
    for line in [
        "# HELP steadfast_requests_total ",
        "# TYPE steadfast_request_duration_seconds histogram",
        r#"steadfast_requests_total{outcome="success"} "#,
        r#"steadfast_attempts_total{endpoint="measured-1",outcome="rate_limited"} 1"#,
        r#"steadfast_attempts_total{endpoint="measured-2",outcome="success"} 1"#,
        r#"steadfast_failovers_total{from="measured-1",to="measured-2",class="rate_limited"} 1"#,
        r#"steadfast_cooldown_seconds_bucket{endpoint="measured-1",le="81.92"} 1"#,
        r#"steadfast_request_attempts_bucket{le="2"} "#,
    ] {
        let found = metrics.lines().any(|found| found.starts_with(line));
        assert!(found, "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn is_healthy_as_long_as_it_runs() {
    let gateway = Gateway::start(&endpoint("down", "http://127.0.0.1:1/v1")).await;
    let answer = gateway.get("/healthz").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, "ok\n");
}

// ===== The end =====

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_under_way_is_finished_before_the_server_ends() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().chunks(3).chunk_delay(SECOND));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut answer = gateway.stream(Version::HTTP_11).await;
    chunk(&mut answer).await.expect("a chunk");

    gateway.stop.send(()).unwrap();
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    gateway.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(gateway.addr).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_does_not_keep_the_server() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().stall_after(1));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut answer = gateway.stream(Version::HTTP_11).await;
    chunk(&mut answer).await.expect("a chunk");

    let asked = Instant::now();
    gateway.stop.send(()).unwrap();
    gateway.server.await.unwrap().unwrap();
    let took = asked.elapsed();
    assert!(took >= DRAIN && took < DRAIN + SECOND, "{took:?}");
}

// ===== Configuration =====

#[test]
fn the_sample_is_a_good_configuration() {
    let config = Config::parse(include_str!("../examples/gateway.toml")).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    let names: Vec<_> = config
        .stack
        .status()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["primary", "backup", "spare"]);
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    const LISTEN: &str = "listen = '127.0.0.1:0'\n";
    const ENDPOINT: &str = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
    for (before, after, expected) in [
        ("port = 1\n", "", "line 2: port: unknown field"),
        ("[stack]\nstrategy = 'fast'\n", "", "stack.strategy: "),
        ("[stack]\nfoo = 1\n", "", "stack.foo: unknown field"),
        ("[stack]\ntimeouts = 'quick'\n", "", "stack.timeouts: "),
        (
            "[stack]\ntimeouts = { head = '2 bananas' }\n",
            "",
            "stack.timeouts.head: ",
        ),
        (
            "[stack]\ntimeouts = { idle = '0s' }\n",
            "",
            "stack.timeouts.idle: must",
        ),
        (
            "[stack]\ntimeouts = { body = '1s' }\n",
            "",
            "stack.timeouts.body: unknown",
        ),
        (
            "[stack.retry]\nmax_attempts = 0\n",
            "",
            "stack.retry.max_attempts: must",
        ),
        (
            "[stack.retry]\nmax_attempts = 'x'\n",
            "",
            "stack.retry.max_attempts: ",
        ),
        (
            "[stack.retry]\nbase_delay = 5\n",
            "",
            "stack.retry.base_delay: ",
        ),
        ("", "tier = -1\n", "line 5: endpoint[0].tier: "),
        ("", "key = 'sk-1'\n", "endpoint[0].key: unknown field"),
        (
            "",
            "api_key_env = 'NOT_SET_ANYWHERE'\n",
            "endpoint[0].api_key_env: must",
        ),
        (
            "",
            "[endpoint.breaker]\nconsecutive_failures = 0\n",
            "endpoint[0].breaker.consecutive_failures: must",
        ),
        (
            "",
            "[endpoint.breaker]\nrecovery_timeout = 'soon'\n",
            "endpoint[0].breaker.recovery_timeout: ",
        ),
        (
            "",
            "[[endpoint]]\nname = 'b'\n",
            "endpoint[1]: missing field `url`",
        ),
        (
            "",
            "[[endpoint]]\nname = 'b'\nurl = 'b'\n",
            "endpoint[1].url: must",
        ),
        (
            "",
            "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1'\n",
            "endpoint[1].name: must",
        ),
    ] {
        let text = format!("{LISTEN}{before}{ENDPOINT}{after}");
        let error = Config::parse(&text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("sk-1"), "{error}");
    }
    for (text, expected) in [
        (ENDPOINT, "missing field `listen`"),
        (LISTEN, "endpoint: must be there"),
        ("listen = ", "line 1: "),
        ("listen = 'nowhere'", "line 1: listen: "),
    ] {
        let error = Config::parse(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
    let missing = Config::read("no/such/file.toml".as_ref()).unwrap_err();
    assert!(missing.to_string().starts_with("no/such/file.toml: "));
}

// ===== Helpers =====

const MINUTE: Duration = Duration::from_secs(60);

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// The recorder is that of the process, and all gateways of the tests share it.
static PROMETHEUS: LazyLock<PrometheusHandle> =
    LazyLock::new(|| install_metrics().expect("nobody else installs a recorder"));

struct Gateway {
    addr: SocketAddr,
    stack: AiStack,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Gateway {
    async fn over(upstreams: &[&Upstream]) -> Self {
        let endpoint = |upstream: &&Upstream| endpoint(&upstream.name(), &upstream.url());
        Self::start(&upstreams.iter().map(endpoint).collect::<String>()).await
    }

    /// Starts a gateway whose configuration ends in `endpoints`.
    async fn start(endpoints: &str) -> Self {
        let text =
            format!("listen = '127.0.0.1:0'\n[stack.retry]\nbase_delay = '1ms'\n{endpoints}");
        let Config { listen, stack, .. } = Config::parse(&text).unwrap();
        let listener = TcpListener::bind(listen).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = router(stack.clone(), PROMETHEUS.clone());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, router, async {
            // A test that ends without a word stops it, too.
            let _ = stopped.await;
        }));
        Self {
            addr,
            stack,
            stop,
            server,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    async fn send(&self, request: Request<AnyBody>) -> Response<Incoming> {
        let answer = client(Version::HTTP_11).request(request);
        in_time(answer).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Incoming> {
        let request = Request::get(self.url(path));
        self.send(request.body(full("")).unwrap()).await
    }

    async fn post(&self, path: &str, body: &str) -> Response<Incoming> {
        let request = Request::post(self.url(path));
        self.send(request.body(full(body)).unwrap()).await
    }

    async fn stream(&self, version: Version) -> Response<Incoming> {
        let request = Request::post(self.url(CHAT)).body(full(STREAMED));
        let answer = client(version).request(request.unwrap());
        in_time(answer).await.unwrap()
    }

    async fn until(&self, done: impl Fn(&AiStack) -> bool) {
        in_time(async {
            while !done(&self.stack) {
                yield_now().await;
            }
        })
        .await;
    }
}

/// A client of its own for each request: its connection ends with the answer.
fn client(version: Version) -> Client<hyper_util::client::legacy::connect::HttpConnector, AnyBody> {
    Client::builder(TokioExecutor::new())
        .http2_only(version == Version::HTTP_2)
        .build_http()
}

fn endpoint(name: &str, url: &str) -> String {
    format!("[[endpoint]]\nname = '{name}'\nurl = '{url}'\n")
}

fn full(text: &str) -> AnyBody {
    Full::new(Bytes::from(text.to_owned())).boxed_unsync()
}

fn header<'a, B>(response: &'a Response<B>, name: &str) -> &'a str {
    let headers: &HeaderMap = response.headers();
    headers[name].to_str().unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let body = in_time(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

async fn json(response: Response<Incoming>) -> Value {
    let text = text(response).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Reads the next chunk, or `None` at the end.
async fn chunk(response: &mut Response<Incoming>) -> Option<String> {
    let frame = in_time(response.body_mut().frame()).await?;
    let data = frame.map_err(BoxError::from).unwrap().into_data().unwrap();
    Some(String::from_utf8(data.into()).unwrap())
}

/// Ends a test that would wait for ever.
async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(MINUTE, future).await.expect("within a minute")
}
