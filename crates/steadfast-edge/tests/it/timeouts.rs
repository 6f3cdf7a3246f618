//! The limits of an attempt, and the deadline of its request.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, StreamBody};
use steadfast_core::{BoxError, BreakerEffect, Class, Classified, Deadline, find_error};
use steadfast_edge::{AttemptTimeout, AttemptTimeoutLayer, Clock, Limit, TimedBody, TimeoutPhase};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt;
use tower::{Layer, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

fn request(deadline: Option<u32>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(seconds) = deadline {
        request
            .extensions_mut()
            .insert(Deadline::after(seconds * SECOND));
    }
    request
}

fn phase_of(error: &BoxError) -> (TimeoutPhase, Class, BreakerEffect) {
    let late = find_error::<AttemptTimeout>(&**error).expect("a timeout");
    let verdict = Classified::find(&**error).expect("classified").verdict();
    (late.phase(), verdict.class(), verdict.breaker())
}

#[tokio::test(start_paused = true)]
async fn attempt_ends_at_its_limit_or_at_the_deadline() {
    use TimeoutPhase::{Deadline, Head};
    for (takes, deadline, ends, late) in [
        (9, None, 9, None),
        (11, None, 10, Some((Head, BreakerEffect::Failure))),
        (11, Some(60), 10, Some((Head, BreakerEffect::Failure))),
        (11, Some(4), 4, Some((Deadline, BreakerEffect::Neutral))),
        (3, Some(4), 3, None),
        (1, Some(0), 0, Some((Deadline, BreakerEffect::Neutral))),
    ] {
        let server = service_fn(move |_: Request<()>| async move {
            sleep(takes * SECOND).await;
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let client = AttemptTimeoutLayer::new(10 * SECOND).layer(server);
        let start = Instant::now();
        let outcome = client.oneshot(request(deadline)).await;
        assert_eq!(start.elapsed(), ends * SECOND, "{takes} {deadline:?}");
        let found = outcome.err().map(|error| phase_of(&error));
        let expected = late.map(|(phase, effect)| (phase, Class::Timeout, effect));
        assert_eq!(found, expected, "{takes} {deadline:?}");
    }
}

/// A body of one byte per second has no silence, and its reader waited beyond the deadline.
#[tokio::test(start_paused = true)]
async fn body_that_trickles_ends_at_the_deadline() {
    let server = service_fn(|_: Request<()>| async {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
        tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(b"a")).await.is_ok() {
                sleep(SECOND).await;
            }
        });
        Ok::<_, Infallible>(Response::new(body))
    });
    let client = AttemptTimeoutLayer::new(10 * SECOND).layer(server);
    let start = Instant::now();
    let response = client.oneshot(request(Some(70))).await.expect("a head");
    let body = timeout(100 * SECOND, response.into_body().collect()).await;
    let error = body.expect("an end").expect_err("late");
    assert_eq!(start.elapsed(), 70 * SECOND);
    let expected = (
        TimeoutPhase::Deadline,
        Class::Timeout,
        BreakerEffect::Neutral,
    );
    assert_eq!(phase_of(&error), expected);
}

/// A read of an endless answer is never pending, so no timer runs.
#[tokio::test(start_paused = true)]
async fn endless_body_without_a_pause_ends_at_the_deadline() {
    let server = service_fn(|_: Request<()>| async {
        let frames = tokio_stream::iter(std::iter::repeat_with(|| {
            Ok::<_, Infallible>(Frame::data(Bytes::from("a")))
        }));
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    });
    let client = AttemptTimeoutLayer::new(10 * SECOND).layer(server);
    let response = client.oneshot(request(Some(70))).await.expect("a head");
    let mut body = response.into_body();
    for seconds in 1..=69 {
        sleep(SECOND).await;
        let frame = body.frame().await.expect("a frame");
        assert!(frame.is_ok(), "after {seconds} s");
    }
    sleep(SECOND).await;
    let error = body.frame().await.expect("an end").expect_err("late");
    assert_eq!(phase_of(&error).0, TimeoutPhase::Deadline);
}

/// The server would work, and bill, for nothing.
#[tokio::test(start_paused = true)]
async fn request_with_passed_deadline_is_not_sent() {
    let server = service_fn(|_: Request<()>| async {
        panic!("it was sent") as Result<Response<String>, Infallible>
    });
    let client = AttemptTimeoutLayer::new(10 * SECOND).layer(server);
    client.oneshot(request(Some(0))).await.expect_err("late");
}

#[tokio::test(start_paused = true)]
async fn silent_body_ends_and_slow_reader_does_not() {
    let server = service_fn(|_: Request<()>| async {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
        tokio::spawn(async move {
            sender
                .send_data(Bytes::from_static(b"a"))
                .await
                .expect("a reader");
            std::future::pending::<()>().await;
        });
        Ok::<_, Infallible>(Response::new(body))
    });
    let client = AttemptTimeoutLayer::new(10 * SECOND)
        .idle(5 * SECOND)
        .layer(server);
    let response = client.oneshot(request(None)).await.expect("a head");
    let mut body = response.into_body();
    sleep(100 * SECOND).await;
    body.frame().await.expect("a frame").expect("data");
    let start = Instant::now();
    let error = body.frame().await.expect("an end").expect_err("silence");
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(phase_of(&error).0, TimeoutPhase::Idle);
}

/// A caller with a short limit opened the breaker of a healthy endpoint.
#[tokio::test(start_paused = true)]
async fn limit_of_caller_is_no_failure_of_endpoint() {
    for (of_caller, effect) in [
        (true, BreakerEffect::Neutral),
        (false, BreakerEffect::Failure),
    ] {
        let limit = Limit::new(TimeoutPhase::Total, (Instant::now(), SECOND), None);
        let late = limit.of_caller(of_caller).error();
        assert_eq!(late.verdict().breaker(), effect);
        assert_eq!(late.verdict().class(), Class::Timeout);

        let clock = match of_caller {
            true => Clock::IdleOfCaller(SECOND),
            false => Clock::Idle(SECOND),
        };
        for alive in [None, Some(SECOND / 2)] {
            let silent = tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let mut body = TimedBody::new(StreamBody::new(Box::pin(silent)), clock);
            if let Some(alive) = alive {
                body.set_alive(alive);
            }
            let error = body.frame().await.expect("an error").unwrap_err();
            assert_eq!(phase_of(&error).2, effect, "{alive:?}");
        }
    }
}

/// The time of a slow reader is not the one of the endpoint. Short times are.
#[tokio::test(start_paused = true)]
async fn limit_of_all_frames_moves_by_long_absence_of_reader() {
    // Milliseconds: the absence behind each frame, and the time of each frame behind the first.
    for (absent, takes, frames, ends, is_late) in [
        (20_000, 0, 30, 600_000, false),
        (20_000, 3_000, 4, 90_000, true),
        (900, 0, 12, 10_800, true),
    ] {
        let stream = tokio_stream::iter(0..30_u32).then(async |at| {
            if at > 0 && takes > 0 {
                sleep(Duration::from_millis(takes)).await;
            }
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))
        });
        let start = Instant::now();
        let limit = Limit::new(TimeoutPhase::Total, (start, 10 * SECOND), None);
        let mut body = TimedBody::new(StreamBody::new(Box::pin(stream)), Clock::Until(limit));
        // Only the first frame is at the present that is given.
        body.set_now(start);
        let mut read = 0;
        let end = loop {
            match body.frame().await {
                Some(Ok(_)) => read += 1,
                end => break end,
            }
            sleep(Duration::from_millis(absent)).await;
        };
        let outcome = (read, start.elapsed().as_millis(), end.is_some());
        assert_eq!(outcome, (frames, ends, is_late), "{absent} {takes}");
    }
}
