//! Callers that disconnect in each phase of a request. Nothing stays in flight.

use std::time::Duration;

use http::Version;
use stack_tests::raw::connect;
use stack_tests::{SECOND, rate_limited};
use steadfast::AiStack;
use steadfast_testkit::{Reply, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::post;
use crate::gateway::{CHAT, Gateway, REQUEST, STREAM_REQUEST, chunk, in_time};

/// A phase of a request.
struct Phase {
    name: &'static str,
    reply: Reply,
    /// The sent bytes.
    sent: String,
    /// The number of requests that the endpoint has received, and of bytes that the caller has
    /// read.
    until: (u64, usize),
}

fn phases() -> [Phase; 10] {
    let head = format!("{}content-length: {}\r\n", post(CHAT), REQUEST.len());
    let whole = format!("{head}\r\n{REQUEST}");
    let size = STREAM_REQUEST.len();
    let stream = format!(
        "{}content-length: {size}\r\n\r\n{STREAM_REQUEST}",
        post(CHAT)
    );
    let phase = |name, reply, sent: &str, until| Phase {
        name,
        reply,
        sent: sent.to_owned(),
        until,
    };
    let ok = Reply::ok;
    let large = Reply::raw(200, [], vec![b'x'; 16 << 20]);
    [
        phase("connected", ok(), "", (0, 0)),
        phase("in the head", ok(), &head[..40], (0, 0)),
        phase("before the body", ok(), &format!("{head}\r\n"), (0, 0)),
        phase("in the body", ok(), &whole[..whole.len() - 1], (0, 0)),
        phase("before the answer", Reply::silence(), &whole, (1, 0)),
        phase("before a retry", rate_limited(20), &whole, (1, 0)),
        phase(
            "in the preamble",
            Reply::ok().first_token(60 * SECOND),
            &stream,
            (1, 0),
        ),
        phase(
            "after the head",
            Reply::ok().stall_after(0),
            &stream,
            (1, 0),
        ),
        phase("in a stream", Reply::ok().stall_after(1), &stream, (1, 100)),
        phase("in an unread answer", large, &whole, (1, 100)),
    ]
}

/// The time for the gateway to read the sent bytes. Without it, a phase might not be reached.
const READ: Duration = Duration::from_millis(5);

/// Sends the bytes of a phase, and waits until it is reached.
async fn reach(phase: &Phase, gateway: &Gateway, upstream: &Upstream) -> TcpStream {
    let mut stream = connect(gateway.addr).await;
    stream.write_all(phase.sent.as_bytes()).await.unwrap();
    let before = upstream.counts().requests;
    let (requests, bytes) = phase.until;
    if requests > 0 {
        in_time(upstream.wait_for_requests(requests.max(before))).await;
    }
    in_time(stream.read_exact(&mut vec![0; bytes]))
        .await
        .unwrap();
    tokio::time::sleep(READ).await;
    stream
}

#[tokio::test]
async fn disconnect_in_any_phase_leaves_nothing_in_flight() {
    for phase in phases() {
        let upstream = Upstream::start().await.unwrap();
        upstream.set(phase.reply.clone());
        let gateway = Gateway::over(&[&upstream]).await;
        for reset in [false, true] {
            let streams: Vec<_> = (0..8).map(|_| reach(&phase, &gateway, &upstream)).collect();
            let mut reached = Vec::new();
            for stream in streams {
                reached.push(stream.await);
            }
            for stream in reached {
                if reset {
                    // The kernel sends a reset in place of an end.
                    stream.set_zero_linger().unwrap();
                }
            }
            gateway.until(|stack| stack.snapshot().in_flight == 0).await;
            for status in gateway.stack.status() {
                assert_eq!(status.in_flight, 0, "{}", phase.name);
            }
        }
        let snapshot = gateway.stack.snapshot();
        let answered = snapshot.successful + snapshot.rate_limited + snapshot.other_errors;
        let ended = answered + snapshot.cancelled;
        assert_eq!(snapshot.total, ended, "{}: {snapshot:?}", phase.name);
        if phase.until.0 == 0 {
            assert_eq!(
                snapshot.total, 0,
                "{}: an incomplete request starts nothing",
                phase.name
            );
        }
        let status = &gateway.stack.status()[0];
        assert!(
            (status.health - 1.0).abs() < f64::EPSILON,
            "{}: {}",
            phase.name,
            status.health
        );
    }
}

fn is_cooling(stack: &AiStack) -> bool {
    let [endpoint] = &stack.status()[..] else {
        return false;
    };
    endpoint.keys.iter().any(|key| key.cooling.is_some())
}

/// A queued request has no attempt. It leaves the queue, and the next one is served.
#[tokio::test]
async fn disconnected_waiters_leave_queue() {
    let upstream = Upstream::start().await.unwrap();
    upstream.next(rate_limited(2));
    let gateway = Gateway::over(&[&upstream]).await;
    let [.., whole] = [0, 1].map(|_| {
        format!(
            "{}content-length: {}\r\n\r\n{REQUEST}",
            post(CHAT),
            REQUEST.len()
        )
    });
    let mut waiting = Vec::new();
    for n in 0..20 {
        let mut stream = connect(gateway.addr).await;
        stream.write_all(whole.as_bytes()).await.unwrap();
        waiting.push(stream);
        if n == 0 {
            gateway.until(is_cooling).await;
        }
    }
    gateway
        .until(|stack| stack.snapshot().in_flight == 20)
        .await;
    drop(waiting);
    gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    let received = upstream.counts().requests;
    assert!(
        received <= 2,
        "{received} attempts of callers that have gone"
    );
    let mut answer = gateway.stream(Version::HTTP_11).await;
    assert!(chunk(&mut answer).await.is_some());
}
