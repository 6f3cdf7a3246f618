//! Which reply a request gets.

use serde_json::json;
use steadfast_testkit::{Behavior, Reply};

use crate::support::{chat, http1, send, status, upstream};

#[tokio::test]
async fn one_time_replies_precede_behavior_in_order() {
    let (upstream, http) = (upstream().await, http1());
    upstream.set(Reply::status(503));
    upstream.script([Reply::status(500), Reply::ok()]);
    upstream.next(Reply::status(429));
    for expected in [500, 200, 429, 503, 503] {
        assert_eq!(status(&chat(&http, &upstream).await), expected);
    }
}

#[tokio::test]
async fn behavior_cycles_and_reads_request() {
    let (upstream, http) = (upstream().await, http1());
    upstream.set(Behavior::cycle([Reply::ok(), Reply::status(500)]));
    for expected in [200, 500, 200, 500] {
        assert_eq!(status(&chat(&http, &upstream).await), expected);
    }

    upstream.set(Behavior::cycle([]));
    assert_eq!(status(&chat(&http, &upstream).await), 200);

    upstream.set(Behavior::by(|request| match request.path() {
        "/v1/embeddings" => Reply::status(501),
        _ => Reply::ok(),
    }));
    assert_eq!(status(&chat(&http, &upstream).await), 200);
    let answer = send(&http, &upstream, "/embeddings", &json!({})).await;
    assert_eq!(status(&answer), 501);
}
