//! Connections: HTTP/2, foreign hosts, and what one lost connection counts.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use stack_tests::{
    Events, SECOND, assert_idle, chat, endpoint, read, served_by, stack, status_of, upstreams,
};
use steadfast::core::BreakerState;
use steadfast::{AiStack, Event, RequestBody, ResponseBody, Timeouts};
use steadfast_testkit::Reply;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A client that speaks HTTP/2 without TLS, so that all its requests share one connection.
fn http2() -> Client<hyper_util::client::legacy::connect::HttpConnector, RequestBody> {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

/// All streams of a connection fail together, and that is one failure. Otherwise a backup that
/// restarts would open its breaker by a single event.
#[tokio::test]
async fn a_connection_lost_under_50_streams_is_one_failure() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().chunks(100).chunk_delay(SECOND / 20));
    let events = Events::default();
    let ai = events.watch(stack([&primary])).build_on(http2()).unwrap();
    // The first request makes the connection, which the others then share.
    let first = ai.send(chat(true)).await.expect("an answer");
    let streams: JoinSet<_> = (0..49)
        .map(|_| {
            let ai = ai.clone();
            async move { ai.send(chat(true)).await.expect("an answer") }
        })
        .collect();
    let mut streams = streams.join_all().await;
    streams.push(first);
    assert_eq!(status_of(&ai, "primary").in_flight, 50);
    assert_eq!(primary.counts().connections, 1);

    primary.kill_connections();
    let broken: JoinSet<_> = streams.into_iter().map(read).collect();
    for outcome in broken.join_all().await {
        outcome.expect_err("its connection is lost");
    }
    let status = status_of(&ai, "primary");
    assert_eq!(status.breaker, BreakerState::Closed);
    assert!(
        status.health > 0.94,
        "one failure of the last 20, not {}",
        status.health
    );
    assert_eq!(
        events.count(|event| matches!(event, Event::Breaker { .. })),
        0
    );
    assert_idle(&ai);
}

/// A server of axum that passes all its requests on to a stack, over HTTP/2.
async fn forwarding_server(ai: AiStack) -> SocketAddr {
    async fn forward(
        State(ai): State<AiStack>,
        request: axum::extract::Request,
    ) -> Response<axum::body::Body> {
        match ai.send(request).await {
            Ok(response) => response.map(axum::body::Body::new),
            Err(error) => steadfast::error_response(&error).map(axum::body::Body::new),
        }
    }

    let app = Router::new().fallback(forward).with_state(ai);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}

/// A request that came by HTTP/2 names its host in a pseudo header, has no `host`, and cannot be
/// sent over HTTP/1.1 as it is.
#[tokio::test]
async fn an_http_2_request_for_a_foreign_host_arrives_at_an_http_1_endpoint() {
    let [primary] = upstreams(["primary"]).await;
    let addr = forwarding_server(stack([&primary]).build().unwrap()).await;
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let (_, body) = chat(false).into_parts();
    let request = Request::post(format!("http://{addr}/v1/chat/completions?user=7"))
        .header("host", "chat.example.com")
        .header("content-type", "application/json")
        .body(Full::from(body))
        .unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (200.try_into().unwrap(), http::Version::HTTP_2)
    );

    let received = &primary.log()[0];
    assert_eq!(received.version, http::Version::HTTP_11);
    assert_eq!(received.path_and_query, "/v1/chat/completions?user=7");
    assert_eq!(received.header("host"), Some(&*primary.addr().to_string()));
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).build().unwrap();
    for stream in [false, true, false, true] {
        read(ai.send(chat(stream)).await.unwrap()).await.unwrap();
    }
    assert_eq!(primary.counts().connections, 1);
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_passed_over_and_found_again() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let breaker = steadfast::Endpoint::default_breaker()
        .consecutive_failures(3)
        .recovery_timeout(SECOND / 5);
    let ai = AiStack::builder()
        .endpoints([endpoint(&primary).breaker(breaker), endpoint(&backup)])
        .build()
        .unwrap();
    primary.cut_off();
    for _ in 0..10 {
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(served_by(&response), "backup");
        read(response).await.unwrap();
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Open);

    primary.restore().await.unwrap();
    tokio::time::sleep(SECOND / 4).await;
    for _ in 0..5 {
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(served_by(&response), "primary");
        read(response).await.unwrap();
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Closed);
}

/// A listener that never accepts: the connection is made by the kernel, and nothing comes.
#[tokio::test]
async fn a_server_that_never_accepts_is_a_timeout_and_the_next_one_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/v1", silent.local_addr().unwrap());
    let [backup] = upstreams(["backup"]).await;
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.total = SECOND / 2;
    let ai = AiStack::builder()
        .endpoint(steadfast::Endpoint::new("silent", &silent_url).unwrap())
        .endpoint(endpoint(&backup))
        .timeouts(timeouts)
        .build()
        .unwrap();
    let start = Instant::now();
    let answer = tokio::time::timeout(5 * SECOND, ai.send(chat(false))).await;
    let response = answer.expect("it moves on long before").unwrap();
    assert_eq!(served_by(&response), "backup");
    assert!(start.elapsed() >= SECOND / 2);
    read(response).await.unwrap();
}

#[tokio::test]
async fn all_endpoints_down_is_an_error_that_names_them() {
    let [a, b] = upstreams(["a", "b"]).await;
    let retry = steadfast::RetryOn429Layer::new()
        .backoff(steadfast::Backoff::new(SECOND / 100, SECOND / 100).unwrap());
    let ai = stack([&a, &b]).retry(retry).build().unwrap();
    a.cut_off();
    b.cut_off();
    let error = ai.send(chat(false)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a: connect") && text.contains("b: connect"),
        "{text}"
    );
    assert_eq!(steadfast::error_response(&error).status(), 502);
    assert_idle(&ai);
}

/// A stream that HTTP/2 refused was not processed: it may be sent again whatever it is, and the
/// endpoint is not to blame.
#[tokio::test]
async fn a_refused_stream_moves_on_and_blames_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a client");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    let [backup] = upstreams(["backup"]).await;
    let ai = AiStack::builder()
        .endpoint(steadfast::Endpoint::new("refusing", &url).unwrap())
        .endpoint(endpoint(&backup))
        .build_on(http2())
        .unwrap();
    let mut request = chat(false);
    request
        .extensions_mut()
        .insert(steadfast::RetryOverride::new().safe(false));
    let response = ai.send(request).await.unwrap();
    assert_eq!(served_by(&response), "backup");
    let health = status_of(&ai, "refusing").health;
    assert!((health - 1.0).abs() < f64::EPSILON, "{health}");
}

#[allow(dead_code)] // compiles only while this holds
fn a_stack_is_shared_between_threads(ai: AiStack, body: ResponseBody) {
    fn check<T: Clone + Send + Sync>(_: T) {}
    fn check_body<T: Send + Unpin>(_: T) {}
    check(ai);
    check_body(body);
}
