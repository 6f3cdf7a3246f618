//! Long answers arrive with the bytes that their endpoint has sent.

use http_body_util::BodyExt;
use stack_tests::{assert_idle, chat, stack, upstreams};
use steadfast::{Answers, StreamMode};
use steadfast_testkit::Reply;

use super::EVENT_STREAM;

/// Returns a stream of 10,000 tokens, with each kind of line end and field.
fn stream_of_tokens() -> String {
    let mut text = String::from("\u{feff}");
    for n in 0..10_000 {
        let end = ["\n\n", "\r\n\r\n", "\r\r"][n % 3];
        if n % 100 == 0 {
            text += ": a comment\n\nid: 7\nretry:10\nunknown\n";
        }
        text += &format!("data:{{\"choices\" : [{{\"delta\":{{\"content\":\"é{n}\"}}}}]}}{end}");
    }
    text + "data: [DONE]\n\n"
}

/// Returns an answer of at least 1 MiB, not in the format of any writer.
fn whole_answer() -> String {
    let text = r"\u00e9 \/ é\n".repeat(100_000);
    format!(
        "\r\n {{ \"choices\" :\t[{{\"message\":{{\"content\":\"{text}\"}}}}],\"n\":1.0e0 }}\n\n"
    )
}

#[tokio::test]
async fn long_stream_and_large_answer_arrive_with_identical_bytes() {
    let [head] = EVENT_STREAM;
    let json = ("content-type", "application/json");
    let (stream, whole) = (stream_of_tokens(), whole_answer());
    assert!(whole.len() > 1024 * 1024);
    for (name, streamed, mode, answers) in [
        ("direct", true, StreamMode::Direct, Answers::Checked),
        ("buffered", true, StreamMode::Buffered, Answers::Checked),
        ("checked", false, StreamMode::Direct, Answers::Checked),
        ("unchecked", false, StreamMode::Direct, Answers::Unchecked),
    ] {
        let [primary] = upstreams(["primary"]).await;
        let ((field, value), sent) = if streamed {
            (head, &stream)
        } else {
            (json, &whole)
        };
        primary.set(Reply::ok().header(field, value).body(sent.clone()));
        let builder = stack([&primary]).stream_mode(mode).answers(answers);
        let ai = builder.build().unwrap();
        let response = ai.send(chat(streamed)).await.expect("an answer");
        let body = response.into_body().collect().await;
        let received = body.expect("a whole body").to_bytes();
        assert_eq!(received.len(), sent.len(), "{name}");
        assert!(received == sent.as_bytes(), "{name}: other bytes");
        assert_eq!(primary.log().len(), 1, "{name}");
        assert_idle(&ai);
    }
}
