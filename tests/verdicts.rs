//! What is sent once, what moves on, and what stays.

use http::Request;
use stack_tests::{SECOND, chat, endpoint, read, served_by, stack, upstreams};
use steadfast::{
    AiStack, Backoff, RetryOn429Layer, RetryOverride, RoutingOptions, Timeouts, Trail,
};
use steadfast_testkit::{Reply, Upstream};

fn retry() -> RetryOn429Layer {
    RetryOn429Layer::new().backoff(Backoff::new(SECOND / 100, SECOND / 50).unwrap())
}

async fn two(reply: Reply) -> (AiStack, [Upstream; 2]) {
    let upstreams = upstreams(["a", "b"]).await;
    for upstream in &upstreams {
        upstream.set(reply.clone());
    }
    let ai = stack(&upstreams).retry(retry()).build().unwrap();
    (ai, upstreams)
}

#[tokio::test]
async fn what_would_be_refused_everywhere_is_sent_once() {
    for status in [400, 401, 403, 422] {
        let (ai, [a, b]) = two(Reply::status(status)).await;
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(served_by(&response), "a");
        let sent = [a.counts().requests, b.counts().requests];
        assert_eq!(sent, [1, 0], "{status}");
    }
}

#[tokio::test]
async fn a_timeout_moves_on_and_is_not_tried_again_where_it_happened() {
    let (_, [a, b]) = two(Reply::silence()).await;
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.total = SECOND / 10;
    let ai = stack([&a, &b])
        .timeouts(timeouts)
        .retry(retry())
        .build()
        .unwrap();
    let error = ai.send(chat(false)).await.unwrap_err();
    assert_eq!((a.counts().requests, b.counts().requests), (1, 1));
    assert!(
        error.to_string().contains("a: timeout, b: timeout"),
        "{error}"
    );
    assert_eq!(steadfast::error_response(&error).status(), 504);
}

#[tokio::test]
async fn a_completion_is_repeated_after_a_server_error() {
    let (ai, [a, b]) = two(Reply::ok()).await;
    a.next(Reply::status(500));
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(served_by(&response), "b");
    let trail = Trail::of(response.extensions()).unwrap();
    assert_eq!(trail.to_string(), "a: server_error (500), b: success (200)");

    a.next(Reply::status(500));
    let mut request = chat(false);
    request
        .extensions_mut()
        .insert(RetryOverride::new().safe(false));
    let response = ai.send(request).await.unwrap();
    assert_eq!(
        response.status(),
        500,
        "the caller said that it is not safe"
    );
    assert_eq!(b.counts().requests, 1);
}

/// An identifier of one endpoint means nothing to another.
#[tokio::test]
async fn what_is_kept_at_one_endpoint_stays_there() {
    let (ai, [a, b]) = two(Reply::ok()).await;
    a.set(Reply::status(500));
    for (method, path, body) in [
        ("POST", "/v1/files", "x"),
        ("GET", "/v1/batches/b_1", ""),
        ("POST", "/v1/threads", "{}"),
        ("POST", "/v1/responses", r#"{"model":"m"}"#),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(body.to_owned())
            .unwrap();
        let response = ai.send(request).await.unwrap();
        assert_eq!(served_by(&response), "a", "{path}");
        read(response).await.unwrap();
    }
    assert_eq!(b.counts().requests, 0);

    let mut request = chat(false);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().only("b"));
    assert_eq!(served_by(&ai.send(request).await.unwrap()), "b");
}

#[tokio::test]
async fn the_request_root_can_be_set() {
    let [a] = upstreams(["a"]).await;
    let base = a.url().replace("/v1", "");
    for (root, path) in [
        ("", "/v1/models"),
        ("/api", "/v1/models"),
        ("/v1", "/models"),
    ] {
        let ai = AiStack::builder()
            .balance(|balance| balance.request_root(root))
            .endpoint(steadfast::Endpoint::new("a", &base).unwrap())
            .build()
            .unwrap();
        let request = Request::get("/v1/models").body(String::new()).unwrap();
        ai.send(request).await.unwrap();
        assert_eq!(a.log().last().unwrap().path_and_query, path, "{root:?}");
    }
}

/// What was kept there is gone with it, and there is no other place for what comes next.
#[tokio::test]
async fn what_is_kept_goes_to_the_next_endpoint_once_the_first_is_removed() {
    let (ai, [a, b]) = two(Reply::ok()).await;
    let kept = || {
        let request = Request::post("/v1/responses");
        request.body(r#"{"model":"m"}"#.to_owned()).unwrap()
    };
    assert_eq!(served_by(&ai.send(kept()).await.unwrap()), "a");
    ai.endpoints().remove("a").unwrap();
    assert_eq!(served_by(&ai.send(kept()).await.unwrap()), "b");
    ai.endpoints().add(endpoint(&a)).unwrap();
    assert_eq!(served_by(&ai.send(kept()).await.unwrap()), "a");
    ai.endpoints().replace([endpoint(&b)]).unwrap();
    assert_eq!(served_by(&ai.send(kept()).await.unwrap()), "b");
    ai.endpoints().replace([]).unwrap();
    ai.send(kept()).await.expect_err("there is nobody");
}

#[tokio::test]
async fn a_model_that_is_missing_here_may_be_there() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(Reply::status(404));
    let ai = stack([&a, &b]).build().unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(served_by(&response), "b");
    let trail = Trail::of(response.extensions()).unwrap().to_string();
    assert!(trail.starts_with("a: model_unavailable (404)"), "{trail}");
}

#[tokio::test]
async fn what_is_too_long_goes_only_where_there_is_more_room() {
    let too_long = || {
        Reply::raw(
            400,
            [("content-type", "application/json")],
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
        )
    };
    let [a, b, c] = upstreams(["a", "b", "c"]).await;
    a.set(too_long());
    let ai = AiStack::builder()
        .endpoints([
            endpoint(&a),
            endpoint(&b),
            endpoint(&c).larger_context(true),
        ])
        .build()
        .unwrap();
    assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "c");
    assert_eq!(b.counts().requests, 0);

    let ai = stack([&a, &b]).build().unwrap();
    assert_eq!(ai.send(chat(false)).await.unwrap().status(), 400);
    assert_eq!(b.counts().requests, 0);
}

/// The trouble is with the first tier; that the fallback has no key is noise.
#[tokio::test]
async fn the_answer_of_the_first_tier_is_the_one_that_counts() {
    let [a, fallback] = upstreams(["a", "fallback"]).await;
    a.set(stack_tests::limited(60));
    fallback.set(Reply::status(401));
    let ai = AiStack::builder()
        .endpoints([endpoint(&a), endpoint(&fallback).tier(1)])
        .build()
        .unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "60");
    assert_eq!(Trail::of(response.extensions()).map(Trail::len), Some(2));
    let body = read(response).await.expect("the body was kept");
    assert!(
        serde_json::from_slice::<serde_json::Value>(&body).is_ok(),
        "whole"
    );
}

/// A page of a proxy in between is no JSON, and must not become an error of parsing.
#[tokio::test]
async fn an_html_429_moves_on_too() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(Reply::raw(
        429,
        [("content-type", "text/html")],
        "<h1>Too Many Requests</h1>",
    ));
    let ai = stack([&a, &b]).build().unwrap();
    assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "b");
}

#[tokio::test]
async fn the_same_bytes_are_sent_each_time() {
    let (ai, [a, b]) = two(Reply::ok()).await;
    a.next(Reply::status(503));
    let request = chat(false);
    let body = request.body().clone();
    ai.send(request).await.unwrap();
    for upstream in [&a, &b] {
        assert_eq!(upstream.log()[0].body, body);
        assert_eq!(
            upstream.log()[0].header("content-length"),
            Some(&*body.len().to_string())
        );
        assert_eq!(
            upstream.log()[0].header("accept-encoding"),
            Some("identity")
        );
    }
}

/// An upload is sent as it comes, and recorded meanwhile.
#[tokio::test]
async fn a_body_of_unknown_size_is_streamed_and_sent_again() {
    use bytes::Bytes;
    use http_body_util::StreamBody;
    let (ai, [a, b]) = two(Reply::ok()).await;
    a.set(Reply::status(503));
    let chunks = ["{\"model\":", "\"m\"}"].map(|text| {
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from_static(
            text.as_bytes(),
        )))
    });
    let body = StreamBody::new(tokio_stream::iter(chunks));
    let request = Request::post("/v1/chat/completions").body(body).unwrap();
    assert_eq!(served_by(&ai.send(request).await.unwrap()), "b");
    for upstream in [&a, &b] {
        assert_eq!(upstream.log()[0].body, "{\"model\":\"m\"}");
    }
}

/// The body of a request that a server passes on is still coming when its head is there.
#[tokio::test]
async fn a_body_that_is_still_coming_can_be_sent_again() {
    use http_body_util::channel::Channel;
    for (json, size) in [(false, 20_000), (false, 200_000), (true, 200_000)] {
        let (ai, [a, b]) = two(Reply::ok()).await;
        a.set(stack_tests::limited(60));
        let (mut sender, body) = Channel::<bytes::Bytes>::new(1);
        let text = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(size));
        let length = text.len();
        let (first, second) = text.split_at(length / 2);
        let halves = [first, second].map(|half| bytes::Bytes::from(half.to_owned()));
        tokio::spawn(async move {
            for half in halves {
                tokio::task::yield_now().await;
                sender.send_data(half).await.expect("it is read");
            }
        });
        let request = Request::post("/v1/chat/completions");
        // Its size is known by a header, as of a server, or it is JSON.
        let response = if json {
            let request = request.header("content-type", "application/json");
            ai.send(request.body(body).unwrap()).await
        } else {
            let length = length.try_into().unwrap();
            ai.send(request.body(Sized(Box::pin(body), length)).unwrap())
                .await
        };
        assert_eq!(served_by(&response.unwrap()), "b");
        assert_eq!(b.log()[0].body, text);
    }
}

/// A body that knows its size although it is not there yet.
struct Sized<B>(std::pin::Pin<Box<B>>, u64);

impl<B: http_body::Body> http_body::Body for Sized<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.1)
    }
}

#[tokio::test]
async fn the_limit_of_bodies_that_are_kept_can_be_set() {
    for (limit, by) in [(1024 * 1024, "a"), (4 * 1024 * 1024, "b")] {
        let [a, b] = upstreams(["a", "b"]).await;
        a.set(stack_tests::limited(60));
        let ai = stack([&a, &b])
            .retry(retry().replay_limit(limit))
            .build()
            .unwrap();
        let body = format!("{{\"pad\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        assert_eq!(served_by(&ai.send(request).await.unwrap()), by);
    }
}

/// A caller whose upload breaks could otherwise open the breaker of every endpoint.
#[tokio::test]
async fn a_body_that_breaks_is_no_failure_of_the_endpoint() {
    use bytes::Bytes;
    use http_body_util::StreamBody;
    let (ai, [_a, b]) = two(Reply::ok()).await;
    for _ in 0..10 {
        let frames = [
            Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
            Err("the disk is gone"),
        ];
        let body = StreamBody::new(tokio_stream::iter(frames));
        let request = Request::post("/v1/audio/transcriptions")
            .body(body)
            .unwrap();
        ai.send(request).await.expect_err("it cannot be sent");
    }
    assert_eq!(b.counts().requests, 0);
    let status = stack_tests::status_of(&ai, "a");
    assert!(
        (status.health - 1.0).abs() < f64::EPSILON,
        "{}",
        status.health
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_does_not_outlive_the_deadline() {
    use http_body_util::channel::Channel;
    let (_sender, body) = Channel::<bytes::Bytes>::new(1);
    let client = tower::service_fn(|_: Request<steadfast::RequestBody>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let ai = AiStack::builder()
        .endpoint(steadfast::Endpoint::new("a", "http://a.test").unwrap())
        .deadline(5 * SECOND)
        .build_on(client)
        .unwrap();
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    let start = tokio::time::Instant::now();
    let error = ai.send(request.body(body).unwrap()).await.unwrap_err();
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(steadfast::error_response(&error).status(), 504);
}

/// An endpoint would work, and send a bill, for a caller who is gone.
#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let (ai, [a, b]) = two(Reply::ok()).await;
    let mut request = chat(false);
    let past = tokio::time::Instant::now();
    request
        .extensions_mut()
        .insert(steadfast::Deadline::at(past));
    ai.send(request).await.expect_err("too late");
    assert_eq!(a.counts().requests + b.counts().requests, 0);
    let health = stack_tests::status_of(&ai, "a").health;
    assert!(
        (health - 1.0).abs() < f64::EPSILON,
        "that is no fault of the endpoint"
    );
}

/// A server that answers at once and then never stops talking must not hold up the others.
#[tokio::test]
async fn a_refusal_whose_body_never_ends_moves_on() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(Reply::status(429).stall_after(0));
    let ai = stack([&a, &b]).build().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "b");
    assert!(start.elapsed() < 2 * SECOND);
}
