//! Hedging: a second attempt for a slow request, through the whole stack and over real sockets.

use std::time::Duration;

use http::Request;
use stack_tests::{assert_idle, chat, read, served_by, stack, upstreams};
use steadfast::{AiStack, HedgeLayer};
use steadfast_testkit::{Reply, Upstream};

const SOON: Duration = Duration::from_millis(20);

async fn hedging_stack() -> ([Upstream; 2], AiStack) {
    let all = upstreams(["primary", "backup"]).await;
    let hedge = HedgeLayer::new()
        .after(SOON)
        .max_share(steadfast::crates::hedge::Share::ALL);
    let ai = stack(&all).hedge(hedge).build().expect("valid");
    (all, ai)
}

#[tokio::test]
async fn silent_endpoint_is_hedged_and_is_no_failure() {
    let ([primary, backup], ai) = hedging_stack().await;
    primary.set(Reply::silence());
    for stream in [false, true] {
        let response = ai.send(chat(stream)).await.expect("an answer");
        assert_eq!(served_by(&response), "backup");
        read(response).await.expect("a whole body");
    }
    assert_eq!((primary.log().len(), backup.log().len()), (2, 2));
    let [sent, again] = [&primary, &backup].map(|upstream| upstream.log()[0].body.clone());
    assert_eq!(sent, again, "the same bytes");
    assert_idle(&ai);
    assert!((ai.status()[0].health - 1.0).abs() < f64::EPSILON);
}

/// A file of one endpoint is unknown to the other.
#[tokio::test]
async fn stateful_path_is_not_hedging_stack() {
    let ([primary, backup], ai) = hedging_stack().await;
    primary.set(Reply::ok().latency(5 * SOON));
    let request = Request::get("/v1/files/file-1").body(String::new());
    let response = ai.send(request.expect("valid")).await.expect("an answer");
    assert_eq!(served_by(&response), "primary");
    assert_eq!(backup.log().len(), 0);
}
