//! Streams of whole events, and the event at the end of a break.

use std::task::Waker;
use std::time::Duration;

use allocation_counter::measure;
use http::HeaderMap;
use http_body_util::{BodyExt, Full, StreamBody};
use proptest::prelude::*;
use tokio::time::Instant;
use tokio_stream::StreamExt;

use super::*;
use crate::error_format::OPENAI_EVENT;

const TOKEN: &str = "data: {\"choices\":[]}\n\n";

/// The frames of a body, and then an error if it breaks.
type Frames<'a> = &'a [Result<&'a [u8], &'static str>];

fn body(frames: Frames<'_>) -> ResponseBody {
    let frames: Vec<_> = (frames.iter())
        .map(|frame| frame.map(|data| Frame::data(Bytes::copy_from_slice(data))))
        .collect();
    ResponseBody::new(StreamBody::new(tokio_stream::iter(frames)))
}

fn reporting(frames: Frames<'_>) -> Reporting {
    Reporting::new(body(frames), Some(OPENAI_EVENT))
}

/// Reads a body: its frames, and the text of the error behind them.
async fn read(mut body: Reporting) -> (Vec<String>, Option<String>) {
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => frames.extend(frame.into_data().map(|data| {
                let text = std::str::from_utf8(&data).expect("text");
                text.to_owned()
            })),
            Err(error) => {
                assert!(body.is_end_stream() && body.frame().await.is_none());
                return (frames, Some(error.to_string()));
            }
        }
    }
    assert!(body.is_end_stream());
    (frames, None)
}

fn event() -> String {
    let error =
        r#"{"error":{"code":"transport","message":"boom","param":null,"type":"upstream_error"}}"#;
    format!("event: error\ndata: {error}\n\n")
}

/// A reader would take a part of an event for an event without JSON.
#[tokio::test(start_paused = true)]
async fn break_within_event_drops_its_part() {
    let broken = Err("boom");
    for (frames, passed) in [
        (&[Ok(TOKEN.as_bytes()), broken][..], &[TOKEN][..]),
        (
            &[Ok(TOKEN.as_bytes()), Ok(b"data: {\"ch"), broken],
            &[TOKEN],
        ),
        (&[Ok(TOKEN.as_bytes()), Ok(b"data: {}\n"), broken], &[TOKEN]),
        (
            &[Ok(b"data: {}\n\nevent: x"), Ok(b"\nda"), broken],
            &["data: {}\n\n"],
        ),
        (
            &[Ok(b"data: {"), Ok(b"}\n"), Ok(b"\ndata"), broken],
            &["data: {", "}\n", "\n"],
        ),
        (&[Ok(b": ping\n"), Ok(b": p"), broken], &[": ping\n"]),
        (&[broken], &[]),
    ] {
        let mut expected: Vec<_> = passed.iter().map(ToString::to_string).collect();
        expected.push(event());
        let (frames, error) = read(reporting(frames)).await;
        assert_eq!((frames, error.as_deref()), (expected, Some("boom")));
    }
}

/// A server drops its unwritten output when a body fails.
#[tokio::test(start_paused = true)]
async fn error_follows_its_event_after_a_pause() {
    for format in [None, Some(OPENAI_EVENT)] {
        let frames = [Ok(TOKEN.as_bytes()), Err("boom")];
        let mut body = Reporting::new(body(&frames), format);
        let start = Instant::now();
        for _ in 0..1 + usize::from(format.is_some()) {
            assert!(!body.is_end_stream());
            body.frame().await.expect("a frame").expect("no error");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(!body.is_end_stream(), "a server would end it in order");
        assert!(body.frame().await.expect("an end").is_err());
        assert_eq!(start.elapsed(), Duration::from_millis(100));
    }
}

#[tokio::test(start_paused = true)]
async fn error_that_the_reader_knows_adds_no_event() {
    let reported: BoxError = Reported("boom".into()).into();
    let frames = [
        Ok(Frame::data(Bytes::from("data: {}\n\ndata: "))),
        Err(reported),
    ];
    let body = ResponseBody::new(StreamBody::new(tokio_stream::iter(frames)));
    let (frames, error) = read(Reporting::new(body, Some(OPENAI_EVENT))).await;
    assert_eq!(frames, ["data: {}\n\n", "data: "]);
    assert_eq!(error.as_deref(), Some("boom"));
}

/// Its first part has been passed on, so nothing can follow it that is an event.
#[tokio::test(start_paused = true)]
async fn break_within_passed_part_of_long_event_adds_no_event() {
    let long = vec![b'x'; MAX_HELD];
    for (behind, passed, has_event) in [
        ("x", "x", false),
        ("\n\n", "\n\n", true),
        ("\n\ndata: a", "\n\n", true),
    ] {
        let frames = [
            Ok(&b"data: "[..]),
            Ok(&long),
            Ok(behind.as_bytes()),
            Err("boom"),
        ];
        let (frames, error) = read(reporting(&frames)).await;
        let mut expected = vec![passed.to_owned()];
        expected.extend(has_event.then(event));
        assert_eq!(frames[2..], expected, "{behind:?}");
        assert_eq!(error.as_deref(), Some("boom"));
    }
}

/// The size counts per frame, too: a server may send single bytes.
#[tokio::test(start_paused = true)]
async fn held_frames_are_bounded() {
    let mut single = vec![Ok(&b"x"[..]); 2 * MAX_HELD / FRAME];
    single.push(Err("boom"));
    let mut body = reporting(&single);
    let mut most = 0;
    while let Some(Ok(_)) = body.frame().await {
        most = most.max(body.frames.len());
    }
    assert!((1_000..=MAX_HELD / FRAME).contains(&most), "{most} frames");
}

#[tokio::test(start_paused = true)]
async fn unknown_format_passes_parts_of_events_at_once() {
    for (format, passes) in [(None, true), (Some(OPENAI_EVENT), false)] {
        let part = Ok::<_, BoxError>(Frame::data(Bytes::from("data: {\"ch")));
        let parts = tokio_stream::once(part).chain(tokio_stream::pending());
        let body = ResponseBody::new(StreamBody::new(parts));
        let mut body = Reporting::new(body, format);
        let mut cx = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut body).poll_frame(&mut cx);
        assert_eq!(polled.is_ready(), passes);
    }
}

/// A server polls no body that reports its end.
#[test]
fn held_part_is_not_the_end() {
    let body = ResponseBody::new(Full::from("data: a\n\ndata: [DONE]"));
    let mut body = Reporting::new(body, Some(OPENAI_EVENT));
    let mut cx = Context::from_waker(Waker::noop());
    for is_end in [false, true] {
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
        assert_eq!(body.is_end_stream(), is_end);
    }
}

/// Some servers omit the blank line.
#[tokio::test(start_paused = true)]
async fn end_and_trailers_pass_last_event_on() {
    let last = Bytes::from("data: [DONE]");
    let mut trailers = HeaderMap::new();
    trailers.insert("a", http::HeaderValue::from_static("b"));
    for with_trailers in [false, true] {
        let mut frames = vec![Ok::<_, BoxError>(Frame::data(last.clone()))];
        frames.extend(with_trailers.then(|| Ok(Frame::trailers(trailers.clone()))));
        let body = ResponseBody::new(StreamBody::new(tokio_stream::iter(frames)));
        let collected = Reporting::new(body, Some(OPENAI_EVENT)).collect().await;
        let collected = collected.expect("a clean end");
        assert_eq!(collected.trailers().is_some(), with_trailers);
        assert_eq!(collected.to_bytes(), last);
    }
}

/// The number of an event of the Responses API is the one behind the last event.
#[tokio::test(start_paused = true)]
async fn event_has_its_number_in_the_stream() {
    let frames = [
        Ok(TOKEN.as_bytes()),
        Ok(TOKEN.as_bytes()),
        Ok(b"data: {"),
        Err("boom"),
    ];
    let format = crate::error_format::RESPONSES.event;
    let (frames, _) = read(Reporting::new(body(&frames), format)).await;
    let last = frames.last().expect("an event");
    assert!(last.contains("\"sequence_number\":2"), "{last}");
}

#[test]
fn chunk_of_stream_needs_no_allocation() {
    const CHUNKS: usize = 10_000;
    let frames = |text: &'static str| {
        let frame = move |_| Ok::<_, BoxError>(Frame::data(Bytes::from_static(text.as_bytes())));
        let body = StreamBody::new(tokio_stream::iter((0..CHUNKS).map(frame)));
        Reporting::new(ResponseBody::new(body), Some(OPENAI_EVENT))
    };
    let mut cx = Context::from_waker(Waker::noop());
    // Whole events, and events that begin in the chunk before.
    for (text, allowed) in [(TOKEN, 0), ("\"}\n\ndata: {\"a\":\"", 2)] {
        let mut body = frames(text);
        let used = measure(|| {
            let mut read = 0;
            while read < CHUNKS {
                // The stream yields now and then.
                read += usize::from(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
            }
        });
        assert!(
            used.count_total <= allowed,
            "{text:?}: {}",
            used.count_total
        );
    }
}

proptest! {
    #[test]
    fn bytes_of_a_stream_are_identical(
        text in "(data: [a-z]{0,9}|event: x|:|\n|\r|\n\n|\r\n\r\n){0,16}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        breaks in any::<bool>(),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut frames: Vec<_> = (cuts.windows(2))
            .map(|cut| Ok(&text.as_bytes()[cut[0]..cut[1]]))
            .collect();
        frames.extend(breaks.then_some(Err("boom")));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let (frames, error) = runtime.block_on(read(reporting(&frames)));
        let read = frames.concat();
        prop_assert_eq!(error.is_some(), breaks);
        let passed = if breaks { read.strip_suffix(&event()).expect("an event") } else { &read };
        prop_assert!(text.starts_with(passed));
        prop_assert!(breaks || passed == text);
        let held = &text[passed.len()..];
        prop_assert!(!held.contains("\n\n") && !held.contains("\r\r"), "{:?}", held);
    }
}
