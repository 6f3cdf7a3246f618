//! Streams through the gateway, and clients that disconnect.

use http::{Request, Version};
use http_body_util::BodyExt;
use stack_tests::SECOND;
use steadfast_testkit::{Reply, Upstream};
use tokio::time::Instant;

use super::{CHAT, Gateway, REQUEST, body_of, chunk, in_time, new_client};

#[tokio::test]
async fn first_chunk_passes_before_stream_ends() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().chunks(3).stall_after(2));
    let gateway = Gateway::over(&[&upstream]).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut answer = gateway.stream(version).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let codings = answer.headers().get_all("transfer-encoding").iter().count();
        assert_eq!(codings, usize::from(version == Version::HTTP_11));
        let mut events = String::new();
        while events.matches("data:").count() < 3 {
            events += &chunk(&mut answer).await.expect("a chunk");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_pass_one_by_one() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().chunks(4).chunk_delay(SECOND));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut answer = gateway.stream(Version::HTTP_11).await;
    let mut arrived = Vec::new();
    let mut events = String::new();
    while let Some(chunk) = chunk(&mut answer).await {
        arrived.push(Instant::now());
        events += &chunk;
    }
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
    let pauses = arrived.windows(2).map(|pair| pair[1] - pair[0]);
    let pauses = pauses.filter(|pause| *pause >= SECOND).count();
    assert_eq!(
        pauses, 4,
        "one pause before each further chunk, and one before the end"
    );
}

#[tokio::test]
async fn client_disconnect_in_stream_aborts_upstream() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = Upstream::start().await.unwrap();
        upstream.set(Reply::ok().stall_after(1));
        let gateway = Gateway::over(&[&upstream]).await;
        let mut answer = gateway.stream(version).await;
        chunk(&mut answer).await.expect("a chunk");
        assert_eq!(upstream.counts().streams_aborted, 0);

        drop(answer);
        let aborted = upstream.wait_until(|counts| counts.streams_aborted == 1);
        in_time(aborted).await;
        gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    }
}

#[tokio::test]
async fn client_disconnect_before_answer_cancels_attempt() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = Upstream::start().await.unwrap();
        upstream.set(Reply::silence());
        let gateway = Gateway::over(&[&upstream]).await;
        let url = gateway.url(CHAT);
        let sending = tokio::spawn(async move {
            let request = Request::post(url).body(body_of(REQUEST)).unwrap();
            new_client(version).request(request).await
        });
        in_time(upstream.wait_for_requests(1)).await;
        sending.abort();
        gateway.until(|stack| stack.snapshot().cancelled == 1).await;
        assert_eq!(gateway.stack.status()[0].in_flight, 0);
    }
}

/// After a clean end, the client would take a part of the answer for the whole.
#[tokio::test]
async fn broken_stream_does_not_end_cleanly() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for reply in [Reply::ok().cut_after(1), Reply::ok().truncate_after(1)] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            upstream.next(reply.clone());
            let answer = gateway.stream(version).await;
            assert_eq!(answer.status(), 200);
            let body = in_time(answer.into_body().collect()).await;
            assert!(body.is_err(), "{version:?} {reply:?}");
        }
    }
}
