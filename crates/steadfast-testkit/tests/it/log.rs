//! The log and the counts of an upstream.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::Full;
use steadfast_testkit::Reply;
use tokio::time::{Instant, timeout};

use crate::support::{both, chat, http1, status, stream, upstream};

#[tokio::test(start_paused = true)]
async fn log_contains_sent_requests() {
    let upstream = upstream().await;
    for (number, http) in both().into_iter().enumerate() {
        let request = Request::put(format!("{}/some/path?key=secret-1", upstream.url()))
            .header("authorization", "Bearer secret-2")
            .body(Full::new(Bytes::from_static(b"secret-3")))
            .expect("a well-formed request");
        assert_eq!(status(&http.request(request).await), 404);

        let received = upstream.log().pop().expect("one request");
        assert_eq!(received.at, Instant::now());
        assert_eq!(received.connection, number as u64 + 1);
        assert_eq!(received.method, Method::PUT);
        assert_eq!(received.path_and_query, "/v1/some/path?key=secret-1");
        assert_eq!(received.header("authorization"), Some("Bearer secret-2"));
        assert_eq!(received.body, "secret-3");
        assert!((1..=3).all(|n| received.contains(&format!("secret-{n}"))));
        assert!(!received.contains("secret-4"));
    }
    let versions: Vec<_> = upstream.log().iter().map(|entry| entry.version).collect();
    assert_eq!(versions, [Version::HTTP_11, Version::HTTP_2]);
}

#[tokio::test]
async fn cleared_log_keeps_counts() {
    let (upstream, http) = (upstream().await, http1());
    upstream.script([Reply::ok(), Reply::status(500), Reply::status(429)]);
    for _ in 0..3 {
        chat(&http, &upstream).await.expect("an answer");
    }
    assert_eq!(upstream.log().len(), 3);
    upstream.clear_log();
    assert!(upstream.log().is_empty());

    let counts = upstream.counts();
    assert_eq!((counts.connections, counts.requests), (1, 3));
    assert_eq!((counts.ok, counts.rate_limited), (1, 1));
    let answered = [200, 429, 500, 503].map(|status| counts.answered(status));
    assert_eq!(answered, [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn wait_for_requests_counts_unanswered_requests() {
    let (upstream, http) = (upstream().await, http1());
    upstream.set(Reply::silence());
    let day = Duration::from_secs(86_400);
    assert!(timeout(day, upstream.wait_for_requests(1)).await.is_err());

    let (client, server) = (http.clone(), upstream.clone());
    let request = tokio::spawn(async move { chat(&client, &server).await.map(drop) });
    upstream.wait_for_requests(1).await;
    assert_eq!(upstream.log().len(), 1);
    request.abort();
}

#[tokio::test]
async fn each_stream_ends_in_one_count() {
    let (upstream, http) = (upstream().await, http1());
    upstream.script([
        Reply::ok(),
        Reply::ok().cut_after(1),
        Reply::ok().stall_after(1),
        Reply::ok().stall_after(1),
    ]);
    for _ in 0..2 {
        let _ = crate::support::read(stream(&http, &upstream).await).await;
    }
    drop(stream(&http, &upstream).await.expect("a head"));
    upstream
        .wait_until(|counts| counts.streams_aborted == 1)
        .await;
    let running = stream(&http, &upstream).await.expect("a head");

    let counts = upstream.counts();
    assert_eq!(counts.streams_started, 4);
    assert_eq!((counts.streams_completed, counts.streams_cut), (1, 1));
    assert_eq!(counts.streams_aborted, 1);
    drop(running);
}
