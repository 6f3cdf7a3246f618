//! Replay: each attempt sends the same bytes, whatever the source of the request body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use http_body_util::StreamBody;
use http_body_util::channel::Channel;
use stack_tests::{chat, rate_limited, served_by, stack, status_of, upstreams};
use steadfast_testkit::Reply;

use super::{quick_retry, two_endpoints};

#[tokio::test]
async fn each_attempt_sends_same_bytes_and_headers() {
    let (ai, [a, b]) = two_endpoints(Reply::ok()).await;
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

/// An upload is sent while it arrives, and recorded meanwhile.
#[tokio::test]
async fn body_of_unknown_size_is_streamed_and_replayed() {
    let (ai, [a, b]) = two_endpoints(Reply::ok()).await;
    a.set(Reply::status(503));
    let chunks = ["{\"model\":", "\"m\"}"]
        .map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from_static(text.as_bytes()))));
    let body = StreamBody::new(tokio_stream::iter(chunks));
    let request = Request::post("/v1/chat/completions").body(body).unwrap();
    assert_eq!(served_by(&ai.send(request).await.unwrap()), "b");
    for upstream in [&a, &b] {
        assert_eq!(upstream.log()[0].body, "{\"model\":\"m\"}");
    }
}

/// A server forwards a request before its body has arrived.
#[tokio::test]
async fn unfinished_body_is_replayed() {
    for (json, size) in [(false, 20_000), (false, 200_000), (true, 200_000)] {
        let (ai, [a, b]) = two_endpoints(Reply::ok()).await;
        a.set(rate_limited(60));
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let text = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(size));
        let length = text.len();
        let (first, second) = text.split_at(length / 2);
        let halves = [first, second].map(|half| Bytes::from(half.to_owned()));
        tokio::spawn(async move {
            for half in halves {
                tokio::task::yield_now().await;
                sender.send_data(half).await.expect("a reader");
            }
        });
        let request = Request::post("/v1/chat/completions");
        // The size is known from a header, or the body is JSON.
        let response = if json {
            let request = request.header("content-type", "application/json");
            ai.send(request.body(body).unwrap()).await
        } else {
            let length = length.try_into().unwrap();
            ai.send(request.body(SizedBody(Box::pin(body), length)).unwrap())
                .await
        };
        assert_eq!(served_by(&response.unwrap()), "b");
        assert_eq!(b.log()[0].body, text);
    }
}

/// A body that knows its size before its data has arrived.
struct SizedBody<B>(Pin<Box<B>>, u64);

impl<B: Body> Body for SizedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.1)
    }
}

#[tokio::test]
async fn body_above_replay_limit_is_sent_once() {
    for (limit, by) in [(1024 * 1024, "a"), (4 * 1024 * 1024, "b")] {
        let [a, b] = upstreams(["a", "b"]).await;
        a.set(rate_limited(60));
        let ai = stack([&a, &b])
            .retry(quick_retry().replay_limit(limit))
            .build()
            .unwrap();
        let body = format!("{{\"pad\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        assert_eq!(served_by(&ai.send(request).await.unwrap()), by);
    }
}

/// A caller with a broken upload could otherwise open the breakers of all endpoints.
#[tokio::test]
async fn broken_request_body_is_no_endpoint_failure() {
    let (ai, [_a, b]) = two_endpoints(Reply::ok()).await;
    for _ in 0..10 {
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"half"))),
            Err("the disk is gone"),
        ];
        let body = StreamBody::new(tokio_stream::iter(frames));
        let request = Request::post("/v1/audio/transcriptions")
            .body(body)
            .unwrap();
        ai.send(request).await.expect_err("a body that breaks");
    }
    assert_eq!(b.counts().requests, 0);
    let status = status_of(&ai, "a");
    assert!(
        (status.health - 1.0).abs() < f64::EPSILON,
        "{}",
        status.health
    );
}
