//! Streams: the preamble, the frames behind it, and the end.

use http_body::Body;
use steadfast_core::layer::LateVerdict;
use tokio::time::Instant;

use super::*;

const ROLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const FLAGGED: &str =
    "data: {\"error\":{\"message\":\"flagged\",\"code\":\"content_policy_violation\"}}\n\n";

fn late(response: &Response<EdgeBody<ClientBody>>) -> Option<Class> {
    let late = response.extensions().get::<LateVerdict>();
    late.expect("a stream has one").get().map(|it| it.class())
}

/// Reads the frames of a body. Returns their number, and the class of the error behind them.
async fn read(response: Response<EdgeBody<ClientBody>>) -> (usize, Option<Class>) {
    let mut body = response.into_body();
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(_) => frames += 1,
            Err(error) => return (frames, Some(class_of(&Err(error)))),
        }
    }
    (frames, None)
}

/// The reader may stop at the event, and never see the error of the body.
#[tokio::test(start_paused = true)]
async fn error_event_sets_late_verdict_before_end_of_body() {
    let both = format!("{TOKEN}{OVERLOADED}");
    let response = chat().answered([text(both), HOUR]).await.expect("a stream");
    assert_eq!(late(&response), Some(Class::Overloaded), "with the token");

    let parts = [text(TOKEN), text(OVERLOADED), HOUR];
    let mut response = chat().answered(parts).await.expect("a stream");
    assert_eq!(late(&response), None);
    for _ in 0..2 {
        let frame = response.body_mut().frame().await;
        assert!(frame.expect("a frame").is_ok());
    }
    assert_eq!(late(&response), Some(Class::Overloaded), "behind the token");
}

/// A break before the first visible token fails the attempt. It is no break of a begun answer.
#[tokio::test(start_paused = true)]
async fn break_is_reported_only_after_visible_token() {
    for (first, expected) in [(ROLE.repeat(64), &[][..]), (TOKEN.repeat(2), &[2])] {
        let attempt = chat();
        let breaks = attempt.breaks.clone();
        let outcome = attempt.answered([text(first), Part::Reset]).await;
        let (frames, error) = read(outcome.expect("a begun stream")).await;
        assert_eq!((frames, error), (1, Some(Class::Transport)));
        assert_eq!(*breaks.lock().expect("a lock"), expected);
    }
}

/// The connection may stay open behind it.
#[tokio::test(start_paused = true)]
async fn done_without_token_fails_at_once() {
    let start = Instant::now();
    let outcome = chat().answered([text(ROLE), text(DONE), HOUR]).await;
    assert_eq!(class_of(&outcome), Class::Transport);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// No dialect has an answer at this path, and the request asks for no stream.
#[tokio::test(start_paused = true)]
async fn broken_stream_of_other_path_is_failure() {
    for (end, class) in [("", Class::Transport), (DONE, Class::Transport)] {
        let outcome = attempt("/v1/other", EVENTS)
            .answered([text(format!("{ROLE}{end}"))])
            .await;
        assert_eq!(class_of(&outcome), class, "{end}");
    }
    let outcome = attempt("/v1/other", EVENTS).answered([]).await;
    assert_eq!(class_of(&outcome), Class::Success, "it may be empty");
}

#[tokio::test(start_paused = true)]
async fn begun_stream_has_idle_time_in_place_of_first_token_time() {
    for (pause, broken) in [(6, false), (9, true)] {
        let mut attempt = chat();
        attempt.shared.timeouts.first_token = 10 * SECOND;
        attempt.shared.timeouts.idle = 8 * SECOND;
        let tokens = (0..4).flat_map(|_| [text(TOKEN), Part::Pause(pause)]);
        let start = Instant::now();
        let outcome = attempt.answered(tokens.chain([text(DONE)])).await;
        let (frames, error) = read(outcome.expect("a begun stream")).await;
        let expected = if broken { (1, 8) } else { (5, 24) };
        assert_eq!((frames, start.elapsed().as_secs()), expected);
        assert_eq!(error.is_some(), broken, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_in_buffered_stream_is_its_verdict() {
    for (end, class) in [(FLAGGED, Class::ContentPolicy), (DONE, Class::Success)] {
        let mut attempt = chat();
        attempt.shared.streams = StreamMode::Buffered;
        let both = format!("{TOKEN}{end}");
        let outcome = attempt.answered([text(both)]).await;
        assert_eq!(class_of(&outcome), class);
    }
}

#[tokio::test(start_paused = true)]
async fn long_preamble_is_passed_on() {
    let comments = |frames| vec![text(format!(":{}\n", "x".repeat(64 * 1024 - 66))); frames];
    for (name, parts, passes) in [
        ("63 events", vec![text(ROLE); 63], false),
        ("64 events", vec![text(ROLE); 64], true),
        ("192 KiB", comments(3), false),
        ("256 KiB", comments(4), true),
        ("4,095 frames", vec![text(""); 4_095], false),
        ("4,096 frames", vec![text(""); 4_096], true),
    ] {
        let start = Instant::now();
        let outcome = chat().answered(parts.into_iter().chain([HOUR])).await;
        let first_token = Timeouts::DEFAULT.first_token;
        let expected = if passes { Duration::ZERO } else { first_token };
        assert_eq!(start.elapsed(), expected, "{name}");
        assert_eq!(outcome.is_ok(), passes, "{name}");
    }
}

/// The answers of other requests use all memory that a stack holds.
#[tokio::test(start_paused = true)]
async fn large_stream_beyond_memory_of_all_is_passed_on() {
    let large = || text(format!(":{}\n", "x".repeat(100 * 1024)));
    for (name, first, mode, is_full) in [
        ("a preamble", ROLE, StreamMode::Direct, true),
        ("a preamble", ROLE, StreamMode::Direct, false),
        ("a buffered stream", TOKEN, StreamMode::Buffered, true),
        ("a buffered stream", TOKEN, StreamMode::Buffered, false),
    ] {
        let start = Instant::now();
        let mut attempt = chat();
        attempt.shared.streams = mode;
        let (memory, mut others) = (attempt.shared.memory.clone(), None);
        assert!(!is_full || memory.hold(&mut others, (256 << 20) + (64 << 10)));
        let outcome = attempt.answered([text(first), large(), HOUR]).await;
        assert_eq!(outcome.is_ok(), is_full, "{name}");
        assert_eq!(start.elapsed() == Duration::ZERO, is_full, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn last_event_without_blank_line_counts() {
    for (last, error) in [
        ("data: [DONE]", None),
        ("error: overloaded", Some(Class::ServerError)),
        ("data: {\"choices\"", Some(Class::Transport)),
    ] {
        let outcome = chat().answered([text(TOKEN), text(last)]).await;
        let (frames, found) = read(outcome.expect("a begun stream")).await;
        assert_eq!((frames, found), (2, error), "{last}");
    }
}

/// A server stops at the end of a stream. It would not read the error behind the last frame.
#[tokio::test(start_paused = true)]
async fn truncated_stream_has_no_end_before_its_error() {
    for (last, complete) in [("", false), (DONE, true)] {
        let body = Full::from(format!("{TOKEN}{last}"));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let outcome = chat().answered_by(body).await;
        let mut body = outcome.expect("a begun stream").into_body();
        let frame = body.frame().await;
        assert!(frame.expect("a frame").is_ok());
        assert_eq!(body.is_end_stream(), complete, "{last}");
        assert_eq!(body.frame().await.is_none(), complete, "{last}");
    }
}
