//! Connections: reuse, HTTP/2, and the loss of a connection under many streams.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use stack_tests::{
    Events, SECOND, assert_idle, chat, endpoint, read, served_by, stack, status_of, upstreams,
};
use steadfast::crates::core::BreakerState;
use steadfast::{
    AiStack, Endpoint, Event, RequestBody, ResponseBody, RetryOverride, error_response,
};
use steadfast_testkit::Reply;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A client that sends HTTP/2 without TLS, so all requests share one connection.
fn http2_client() -> Client<HttpConnector, RequestBody> {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

/// All streams of a connection fail together. Counted one by one, a restart of an endpoint would
/// open its breaker.
#[tokio::test]
async fn lost_connection_under_50_streams_counts_one_failure() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().chunks(100).chunk_delay(SECOND / 20));
    let events = Events::default();
    let ai = events
        .watch(stack([&primary]))
        .build_on(http2_client())
        .unwrap();
    // The first request opens the connection that the others share.
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
        outcome.expect_err("a lost connection");
    }
    let status = status_of(&ai, "primary");
    assert_eq!(status.breaker, BreakerState::Closed);
    assert!(
        status.health > 0.94,
        "one failure among the last 20, not {}",
        status.health
    );
    assert_eq!(
        events.count(|event| matches!(event, Event::Breaker { .. })),
        0
    );
    assert_idle(&ai);
}

/// Each stream of the lost connection was billed, so the budget ran dry: of 100 requests, 65
/// failed.
#[tokio::test]
async fn lost_connection_under_200_streams_fails_no_repeatable_request() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().latency(600 * SECOND));
    let ai = stack([&primary]).build_on(http2_client()).unwrap();
    // The first request opens the connection that the others share.
    let first = tokio::spawn({
        let ai = ai.clone();
        async move { ai.send(chat(false)).await }
    });
    primary.wait_for_requests(1).await;
    let mut requests = JoinSet::new();
    for _ in 0..199 {
        let ai = ai.clone();
        requests.spawn(async move { ai.send(chat(false)).await });
    }
    primary.wait_for_requests(200).await;
    assert_eq!(primary.counts().connections, 1);
    primary.set(Reply::ok());
    primary.kill_connections();

    let mut outcomes = requests.join_all().await;
    outcomes.push(first.await.expect("no panic"));
    for outcome in outcomes {
        let response = outcome.expect("an answer");
        assert_eq!(response.status(), 200);
        read(response).await.expect("a whole body");
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Closed);
    assert_idle(&ai);
}

/// A server that forwards all requests to a stack.
async fn forwarding_server(ai: AiStack) -> SocketAddr {
    async fn forward(
        State(ai): State<AiStack>,
        request: axum::extract::Request,
    ) -> Response<axum::body::Body> {
        match ai.send(request).await {
            Ok(response) => response.map(axum::body::Body::new),
            Err(error) => error_response(&error).map(axum::body::Body::new),
        }
    }

    let app = Router::new().fallback(forward).with_state(ai);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}

/// An HTTP/2 request names its host in a pseudo header, has no `host`, and cannot be sent over
/// HTTP/1.1 unchanged.
#[tokio::test]
async fn http2_request_for_foreign_host_arrives_at_http1_endpoint() {
    let [primary] = upstreams(["primary"]).await;
    let addr = forwarding_server(stack([&primary]).build().unwrap()).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
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
        (200.try_into().unwrap(), Version::HTTP_2)
    );

    let received = &primary.log()[0];
    assert_eq!(received.version, Version::HTTP_11);
    assert_eq!(received.path_and_query, "/v1/chat/completions?user=7");
    assert_eq!(received.header("host"), Some(&*primary.addr().to_string()));
}

#[tokio::test]
async fn consecutive_requests_share_one_connection() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).build().unwrap();
    for stream in [false, true, false, true] {
        read(ai.send(chat(stream)).await.unwrap()).await.unwrap();
    }
    assert_eq!(primary.counts().connections, 1);
}

/// A refused HTTP/2 stream was not processed. Any request can be repeated, and the endpoint has not
/// failed.
#[tokio::test]
async fn refused_http2_stream_fails_over_and_is_no_failure() {
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
        .endpoint(Endpoint::new("refusing", &url).unwrap())
        .endpoint(endpoint(&backup))
        .build_on(http2_client())
        .unwrap();
    let mut request = chat(false);
    request
        .extensions_mut()
        .insert(RetryOverride::new().safe(false));
    let response = ai.send(request).await.unwrap();
    assert_eq!(served_by(&response), "backup");
    let health = status_of(&ai, "refusing").health;
    assert!((health - 1.0).abs() < f64::EPSILON, "{health}");
}

#[allow(dead_code)] // It compiles only while the bounds hold.
fn stack_is_send_sync_and_clone(ai: AiStack, body: ResponseBody) {
    fn check<T: Clone + Send + Sync>(_: T) {}
    fn check_body<T: Send + Unpin>(_: T) {}
    check(ai);
    check_body(body);
}
