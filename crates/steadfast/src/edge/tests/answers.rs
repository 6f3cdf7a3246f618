//! Whole answers, error bodies and stored objects.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::Instant;

use super::*;

const ANSWER: &str = r#"{"id":"c","choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n";

#[tokio::test(start_paused = true)]
async fn answer_beyond_8_mib_is_passed_on_unread() {
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    for (chunks, passes) in [(127, false), (128, true)] {
        let start = Instant::now();
        let parts = vec![Part::Data(chunk.clone()); chunks];
        let attempt = attempt("/v1/chat/completions", JSON);
        let outcome = attempt.answered(parts.into_iter().chain([HOUR])).await;
        assert_eq!(start.elapsed() == Duration::ZERO, passes, "{chunks}");
        assert_eq!(outcome.is_ok(), passes, "{chunks}");
    }
}

/// Some servers send a stream with the type of JSON.
#[tokio::test(start_paused = true)]
async fn events_as_json_are_a_stream_only_at_start_and_if_requested() {
    let json = || attempt("/v1/chat/completions", JSON);
    for (name, attempt, parts, class) in [
        (
            "requested",
            json().streaming(),
            vec![text(""), text(EVENT)],
            Class::Success,
        ),
        (
            "not requested",
            json(),
            vec![text(EVENT)],
            Class::ServerError,
        ),
        (
            "in the middle",
            json().streaming(),
            vec![
                text(r#"{"choices":[{"message":{"content":""#),
                text(r#"data: Hi"}}]}"#),
            ],
            Class::Success,
        ),
    ] {
        let outcome = attempt.answered(parts).await;
        assert_eq!(class_of(&outcome), class, "{name}");
    }
}

/// Many large answers at once took all memory of a process.
#[tokio::test(start_paused = true)]
async fn large_answer_beyond_memory_of_all_passes_unread() {
    const ALL: usize = (256 << 20) + (64 << 10);
    for (size, is_full, class) in [
        (200 << 10, false, Class::ServerError),
        (200 << 10, true, Class::Success),
        (1 << 10, true, Class::ServerError),
    ] {
        let attempt = attempt("/v1/chat/completions", JSON);
        let memory = attempt.shared.memory.clone();
        let mut others = None;
        assert!(!is_full || memory.hold(&mut others, ALL));
        let outcome = attempt.answered([text("x".repeat(size))]).await;
        assert_eq!(class_of(&outcome), class, "{size} {is_full}");
        // It is held until it was passed on.
        let mut body = outcome.expect("an answer").into_body();
        assert_eq!(memory.hold(&mut None, ALL), !is_full && size < 64 << 10);
        body.frame().await.expect("a frame").expect("data");
        assert!(body.frame().await.is_none());
        drop(others);
        assert!(memory.hold(&mut None, ALL), "{size} {is_full}");
    }
}

/// The time until the first part is no absence of the reader.
#[tokio::test(start_paused = true)]
async fn pause_before_first_part_counts_toward_total() {
    let start = Instant::now();
    let mut attempt = attempt("/v1/chat/completions", JSON);
    attempt.shared.timeouts.total = 5 * SECOND;
    let outcome = attempt.answered([Part::Pause(3), text("{"), HOUR]).await;
    assert_eq!(class_of(&outcome), Class::Timeout);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn object_is_remembered_only_from_small_json_of_success() {
    for (name, status, kind, parts, known) in [
        ("an object", 200, JSON, vec![text(r#"{"id":"f"}"#)], true),
        (
            "a text",
            200,
            "text/plain",
            vec![text(r#"{"id":"f"}"#)],
            false,
        ),
        ("a redirect", 303, JSON, vec![text(r#"{"id":"f"}"#)], false),
        (
            "64 KiB",
            200,
            JSON,
            vec![text(r#"{"x":""#), text("x".repeat(64 * 1024)), HOUR],
            false,
        ),
        (
            "1,025 frames",
            200,
            JSON,
            [vec![text(""); 1_025], vec![HOUR]].concat(),
            false,
        ),
    ] {
        let attempt = attempt("/v1/files", kind).status(status).creates();
        let homes = attempt.homes.clone();
        let start = Instant::now();
        let outcome = attempt.answered(parts).await;
        assert_eq!(outcome.expect("an answer").status(), status, "{name}");
        assert_eq!(start.elapsed(), Duration::ZERO, "{name}");
        assert_eq!(Attempt::knows(&homes, "f"), known, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn object_of_stream_is_remembered_at_its_first_token() {
    let attempt = attempt("/v1/responses", EVENTS).streaming().creates();
    let homes = attempt.homes.clone();
    let created = "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n";
    let token = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
    let outcome = attempt.answered([text(created), text(token), HOUR]).await;
    assert!(outcome.is_ok() && Attempt::knows(&homes, "resp_1"));
}

/// A server may send tiny frames without end.
#[tokio::test(start_paused = true)]
async fn frames_of_error_body_count_beside_their_data() {
    let frames = |count| vec![text("x"); count].into_iter().chain([HOUR]);
    for (count, millis) in [(1_000, 250), (1_010, 0)] {
        let start = Instant::now();
        let attempt = attempt("/v1/chat/completions", JSON).status(400);
        let outcome = attempt.answered(frames(count)).await;
        assert_eq!(class_of(&outcome), Class::CallerFault);
        assert_eq!(start.elapsed().as_millis(), millis, "{count}");
    }
}

/// A proxy may encode its page, however long it is.
#[cfg(feature = "decode")]
#[tokio::test(start_paused = true)]
async fn long_encoded_page_is_of_proxy() {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    for length in [10, 100_000] {
        let mut page = GzEncoder::new(Vec::new(), Compression::fast());
        let html = format!("<html>{}", "x".repeat(length));
        page.write_all(html.as_bytes()).expect("memory");
        let page = page.finish().expect("memory");
        let mut attempt = attempt("/v1/chat/completions", "text/html").status(403);
        attempt.encoding = Some("gzip");
        let outcome = attempt.answered([text(page)]).await;
        assert_eq!(class_of(&outcome), Class::ServerError, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn usage_of_whole_answer_is_counted() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let attempt = attempt("/v1/chat/completions", JSON);
    assert!(attempt.answered([text(ANSWER)]).await.is_ok());
    let mut counts: Vec<_> = (recorder.snapshotter().snapshot().into_vec().into_iter())
        .filter_map(|(.., value)| match value {
            DebugValue::Counter(count) => Some(count),
            _ => None,
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [3, 4]);
}

/// A layer above may keep the attempt for a while. The server would work, and bill, for nothing.
#[tokio::test(start_paused = true)]
async fn ended_attempt_has_dropped_its_request_and_answer() {
    for has_head in [false, true] {
        let Attempt {
            request,
            mut shared,
            ..
        } = attempt("/v1/chat/completions", JSON);
        shared.timeouts.total = 5 * SECOND;
        let endpoint = Endpoint::new("a", "http://a.test").expect("an endpoint");
        let settings = Arc::new(Settings::new(&endpoint, shared));
        let held = Arc::new(());
        let own = held.clone();
        let client = service_fn(move |_: Request<RequestBody>| {
            let own = own.clone();
            async move {
                if !has_head {
                    std::future::pending::<()>().await;
                }
                let frames = tokio_stream::pending::<Result<Frame<Bytes>, io::Error>>();
                let frames = frames.map(move |frame| (&own, frame).1);
                let response = Response::builder().header("content-type", JSON);
                let response = response.body(StreamBody::new(frames).boxed_unsync());
                Ok::<_, Infallible>(response.expect("a response"))
            }
        });
        let mut client = EdgeLayer { settings }.layer(client);
        let mut future = Box::pin(tower::Service::call(&mut client, request));
        assert!(future.as_mut().await.is_err());
        drop(client);
        assert_eq!(Arc::strong_count(&held), 1, "head: {has_head}");
        drop(future);
    }
}
