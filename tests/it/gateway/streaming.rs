//! Streams through the gateway, and clients that disconnect.

use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use stack_tests::SECOND;
use stack_tests::raw::RawServer;
use steadfast_testkit::{Dialect, Reply, Upstream};
use tokio::time::Instant;

use super::{
    CHAT, Gateway, REQUEST, STREAM_REQUEST, body_of, chunk, endpoint_table, in_time, new_client,
};

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

/// Reads the text of a body that breaks.
async fn broken(mut answer: Response<Incoming>) -> String {
    let mut text = Vec::new();
    while let Ok(frame) = in_time(answer.body_mut().frame())
        .await
        .expect("no clean end")
    {
        text.extend(frame.into_data().expect("data"));
    }
    String::from_utf8(text).expect("text")
}

/// Returns the data of the error event at the end of a stream.
fn last_event(text: &str) -> Value {
    let event = text.split_once("event: error\ndata: ");
    let (_, data) = event.unwrap_or_else(|| panic!("no event: {text}"));
    let data = data.strip_suffix("\n\n").expect("the last event");
    serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
}

/// A client sees only that the connection is lost, and raises the error of its transport.
#[tokio::test]
async fn broken_stream_ends_with_error_event() {
    let upstream = Upstream::start().await.unwrap().named("dying");
    let gateway = Gateway::over(&[&upstream]).await;
    for (path, dialect) in [
        (CHAT, Dialect::OpenAi),
        ("/v1/messages", Dialect::Anthropic),
        ("/v1/responses", Dialect::Responses),
    ] {
        for reply in [Reply::ok().cut_after(2), Reply::ok().truncate_after(2)] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                upstream.next(reply.clone().dialect(dialect));
                let request = Request::post(gateway.url(path)).body(body_of(STREAM_REQUEST));
                let answer = new_client(version).request(request.unwrap());
                let text = broken(in_time(answer).await.unwrap()).await;
                let event = last_event(&text);
                let message = event["error"]["message"].as_str().expect("a message");
                assert!(
                    message.contains("the stream of dying broke after"),
                    "{path} {version:?}: {message}"
                );
                gateway.stack.endpoints().reset("dying").unwrap();
            }
        }
    }
}

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// The bytes of a stream with these chunks, which end or are cut.
fn stream_of(chunks: &[&str]) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let chunks = chunks.iter();
    let chunks = chunks.map(|text| format!("{:x}\r\n{text}\r\n", text.len()));
    head.to_owned() + &chunks.collect::<String>()
}

/// A client would take the part for an event, and raise an error about its JSON.
#[tokio::test]
async fn part_of_event_is_not_passed_on() {
    let parts = stream_of(&[TOKEN, "data: {\"choices\":[{\"del"]);
    let server = RawServer::answering(parts).await;
    let gateway = Gateway::start(&endpoint_table("dying", &server.url())).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let text = broken(gateway.stream(version).await).await;
        let event = text.strip_prefix(TOKEN).expect("the first event");
        assert!(event.starts_with("event: error\n"), "{version:?}: {event}");
        let message = &last_event(event)["error"]["message"];
        assert!(message.to_string().contains("dying"), "{message}");
        gateway.stack.endpoints().reset("dying").unwrap();
    }
}

/// The stream ends right behind the event, and hyper drops unwritten output when a body fails.
#[tokio::test]
async fn error_event_of_endpoint_arrives_once() {
    const ERROR: &str = "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n";
    let parts = stream_of(&[TOKEN, ERROR, ""]);
    let server = RawServer::answering(parts).await;
    let gateway = Gateway::start(&endpoint_table("dying", &server.url())).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let text = broken(gateway.stream(version).await).await;
        assert_eq!(text, format!("{TOKEN}{ERROR}"), "{version:?}");
        gateway.stack.endpoints().reset("dying").unwrap();
    }
}
