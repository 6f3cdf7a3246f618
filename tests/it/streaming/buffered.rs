//! Buffered streams over sockets: a stream that breaks is served completely by the next endpoint.

use stack_tests::{assert_idle, chat, endpoint, read, served_by, stack, status_of, upstreams};
use steadfast::{AiStack, StreamMode};
use steadfast_testkit::{Dialect, Reply, Upstream};

/// A stack with a fallback to another model.
fn buffered(primary: &Upstream, fallback: &Upstream) -> AiStack {
    AiStack::builder()
        .endpoint(endpoint(primary))
        .endpoint(endpoint(fallback).tier(1).degraded(true))
        .stream_mode(StreamMode::Buffered)
        .build()
        .unwrap()
}

#[tokio::test]
async fn stream_cut_at_token_40_of_60_is_answered_completely_by_fallback() {
    for dialect in Dialect::ALL {
        let whole = || Reply::ok().dialect(dialect).chunks(60);
        for (name, broken) in [
            ("cut", whole().cut_after(40)),
            ("truncated", whole().truncate_after(40)),
            ("error event", whole().error_after(40)),
        ] {
            let [primary, fallback] = upstreams(["primary", "fallback"]).await;
            primary.set(broken);
            fallback.set(whole());
            let ai = buffered(&primary, &fallback);
            let response = ai.send(chat(true)).await.expect("an answer");
            assert_eq!(served_by(&response), "fallback", "{dialect:?} {name}");
            let text = read(response).await.expect("a whole stream");
            let direct = stack([&fallback]).build().unwrap();
            let expected = direct.send(chat(true)).await.expect("an answer");
            let expected = read(expected).await.expect("a whole stream");
            // Only the id of the answer differs.
            assert_eq!(text.len(), expected.len(), "{dialect:?} {name}");
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains("primary"), "{dialect:?} {name}");
            assert!(status_of(&ai, "primary").health < 1.0, "{dialect:?} {name}");
            assert_idle(&ai);
        }
    }
}
