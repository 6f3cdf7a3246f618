//! Faults of bodies.

use std::time::Duration;

use http_body_util::BodyExt;
use steadfast_testkit::{Dialect, Reply, Upstream};
use tokio::time::{Instant, timeout};

use crate::support::{Http, both, contents, events, http1, http2, read, stream, text, upstream};

const SECOND: Duration = Duration::from_secs(1);

/// The connection goes down after the promised chunks: the client has all of them, and an error.
#[tokio::test]
async fn cut_after_n_chunks_breaks_body_after_n_chunks() {
    let upstream = upstream().await;
    for http in both() {
        for n in 0..=3 {
            upstream.next(Reply::ok().cut_after(n));
            let (text, end) = read(stream(&http, &upstream).await).await;
            assert!(end.is_err(), "{text}");
            assert_eq!(contents(&text), n);
            assert!(!text.contains("finish_reason\":\"stop"), "{text}");
        }
    }
    assert_eq!(
        upstream.counts().connections,
        8,
        "a cut ends the connection"
    );
    upstream.wait_until(|counts| counts.streams_cut == 8).await;
}

/// On several threads a stream's task can cut while the connection's task is in the middle of a
/// poll. The last chunk must be on the wire all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_on_several_threads_loses_no_chunk() {
    let upstream = upstream().await;
    upstream.set(Reply::ok().cut_after(2));
    for http in both() {
        for _ in 0..300 {
            let (text, end) = read(stream(&http, &upstream).await).await;
            assert!(end.is_err(), "{text}");
            assert_eq!(contents(&text), 2);
        }
    }
}

#[tokio::test]
async fn truncated_stream_ends_without_error() {
    let upstream = upstream().await;
    for http in both() {
        for n in 0..=3 {
            upstream.next(Reply::ok().truncate_after(n));
            let text = text(stream(&http, &upstream).await).await;
            assert_eq!(contents(&text), n);
            assert!(
                !text.contains("[DONE]") && !text.contains("\"stop\""),
                "{text}"
            );
        }
    }
    assert_eq!(upstream.counts().connections, 2);
    assert_eq!(upstream.counts().streams_completed, 8);
}

#[tokio::test]
async fn fault_beyond_last_chunk_precedes_end() {
    let (upstream, http) = (upstream().await, http1());
    upstream.next(Reply::ok().chunks(2).cut_after(9));
    let (text, end) = read(stream(&http, &upstream).await).await;
    assert!(end.is_err());
    assert_eq!(contents(&text), 2);
    assert!(!text.contains("\"stop\""), "{text}");
}

/// The wait is the last step of the stream. The body ends only after it.
#[tokio::test(start_paused = true)]
async fn late_end_follows_last_chunk_after_delay() {
    let upstream = upstream().await;
    for http in both() {
        let reply = Reply::ok().first_token(5 * SECOND).truncate_after(0);
        upstream.next(reply);
        let start = Instant::now();
        assert_eq!(contents(&text(stream(&http, &upstream).await).await), 0);
        assert_eq!(start.elapsed().as_secs(), 5);
    }
    assert_eq!(upstream.counts().streams_completed, 2);
}

/// Nothing is sent after the head here, so the body is never polled.
#[tokio::test]
async fn empty_stream_counts_as_completed() {
    let upstream = upstream().await;
    for http in both() {
        upstream.next(Reply::ok().dialect(Dialect::Gemini).truncate_after(0));
        assert_eq!(text(stream(&http, &upstream).await).await, "");
    }
    assert_eq!(upstream.counts().streams_completed, 2);
}

#[tokio::test(start_paused = true)]
async fn stalled_stream_stays_open_until_client_disconnects() {
    let upstream = upstream().await;
    for (done, http) in both().into_iter().enumerate() {
        upstream.next(Reply::ok().stall_after(2));
        let mut body = stream(&http, &upstream).await.expect("a head").into_body();
        for _ in 0..3 {
            assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        }
        assert!(timeout(86_400 * SECOND, body.frame()).await.is_err());
        assert_eq!(upstream.counts().streams_aborted, done as u64);

        drop(body);
        upstream
            .wait_until(|counts| counts.streams_aborted == done as u64 + 1)
            .await;
    }
    assert_eq!(upstream.counts().streams_started, 2);
    assert_eq!(upstream.counts().streams_completed, 0);
}

#[tokio::test]
async fn error_event_has_format_of_each_dialect() {
    let upstream = upstream().await;
    let http = http2();
    for dialect in Dialect::ALL {
        for n in [0, 2] {
            upstream.next(Reply::ok().dialect(dialect).error_after(n));
            let text = text(stream(&http, &upstream).await).await;
            let last = events(&text).pop().expect("an event");
            assert!(
                last["error"].is_object() || last["type"] == "error",
                "{last}"
            );
            assert_eq!(text.contains("Hello"), n > 0);
            assert_eq!(text.contains("Chunk 1"), n > 1);
            assert!(
                !text.contains("Chunk 2") && !text.contains("[DONE]"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn raw_bytes_end_stream() {
    let (upstream, http) = (upstream().await, http1());
    let failed = "event: response.failed\ndata: {\"response\":{\"error\":{\"code\":\"x\"}}}\n\n";
    upstream.next(Reply::ok().dialect(Dialect::Responses).raw_after(1, failed));
    let text = text(stream(&http, &upstream).await).await;
    assert!(text.contains("Hello") && text.ends_with(failed), "{text}");
}

#[tokio::test(start_paused = true)]
async fn fault_of_whole_answer_breaks_it_in_the_middle() {
    async fn ask(http: &Http, upstream: &Upstream, reply: Reply) -> (String, bool) {
        upstream.next(reply.body("0123456789"));
        let (text, end) = read(crate::support::chat(http, upstream).await).await;
        (text, end.is_ok())
    }
    let upstream = upstream().await;
    for http in both() {
        for (reply, expected, clean) in [
            (Reply::ok(), "0123456789", true),
            (Reply::ok().cut_after(9), "01234", false),
            (Reply::ok().truncate_after(0), "01234", true),
            (Reply::ok().raw_after(0, "!"), "01234!", true),
            (Reply::ok().error_after(0), "0123456789", true),
        ] {
            let (text, end) = ask(&http, &upstream, reply).await;
            assert_eq!((text.as_str(), end), (expected, clean));
        }
        let stalled = ask(&http, &upstream, Reply::ok().stall_after(0));
        assert!(timeout(SECOND, stalled).await.is_err());
    }
    assert_eq!(upstream.counts().streams_started, 0);
}
