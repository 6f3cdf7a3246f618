//! Bounds on clients: unfinished requests, connections, requests in progress, and memory.

use std::time::Duration;

use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use stack_tests::SECOND;
use stack_tests::raw::{Frame, RawServer, frame, frames, header_block, preface};
use steadfast_testkit::{Reply, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{
    CHAT, Gateway, REQUEST, body_of, endpoint_table, header, http2_connection, in_time, json,
    new_client,
};
use crate::attacks::child::GatewayProcess;

const DOWN: &str = "http://127.0.0.1:1/v1";
const MIB: usize = 1 << 20;

impl Gateway {
    async fn connect(&self, sent: impl AsRef<[u8]>) -> TcpStream {
        let mut socket = TcpStream::connect(self.addr).await.unwrap();
        in_time(socket.write_all(sent.as_ref())).await.unwrap();
        socket
    }
}

/// The start of a request with a body of this size.
fn head(size: usize) -> String {
    format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n")
}

fn complete() -> String {
    head(REQUEST.len()) + REQUEST
}

/// Reads until the gateway closes the connection. A reset counts as an end.
async fn rest(socket: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = in_time_of(10, socket.read_to_end(&mut rest)).await;
    String::from_utf8_lossy(&rest).into_owned()
}

async fn in_time_of<F: Future>(minutes: u64, future: F) -> F::Output {
    let limit = Duration::from_secs(60 * minutes);
    let ended = timeout(limit, future).await;
    ended.expect("an end in time")
}

// ===== Time =====

#[tokio::test(start_paused = true)]
async fn unfinished_request_ends_after_its_timeout() {
    let upstream = Upstream::start().await.unwrap();
    let settings = "[limits]\nhead_timeout = '5s'\nbody_timeout = '20s'\nidle_timeout = '60s'\n";
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with(settings, &endpoint).await;
    let (head, body) = ("HTTP/1.1 408 ", head(100) + "{");
    for (sent, seconds, answer) in [
        ("", 5, ""),
        ("PRI * HTTP/2.0\r\n\r\nSM", 5, ""),
        ("POST", 5, ""),
        ("POST /v1/models HTTP/1.1\r\nhost: localhost\r\nx: ", 5, ""),
        (&*body, 20, head),
    ] {
        let start = Instant::now();
        let mut socket = gateway.connect(sent).await;
        let received = rest(&mut socket).await;
        let took = start.elapsed();
        assert!(received.starts_with(answer), "{sent:?}: {received:?}");
        let limit = Duration::from_secs(seconds);
        assert!(took >= limit && took < 2 * limit, "{sent:?}: {took:?}");
    }
    assert_eq!(upstream.counts().requests, 0);
}

/// The time of a used connection is longer, and a client could hold it with the start of a head.
#[tokio::test(start_paused = true)]
async fn unfinished_second_head_ends_after_its_timeout() {
    let upstream = Upstream::start().await.unwrap();
    let settings = "[limits]\nhead_timeout = '5s'\nidle_timeout = '60s'\n";
    let gateway = Gateway::with(settings, &endpoint_table("a", &upstream.url())).await;
    let mut socket = gateway
        .connect(complete() + "POST /v1/models HTTP/1.1\r\nx: ")
        .await;
    let mut status = [0; 13];
    in_time(socket.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 ");
    let start = Instant::now();
    rest(&mut socket).await;
    let took = start.elapsed();
    assert!(took >= 4 * SECOND && took < 10 * SECOND, "{took:?}");
}

/// A slow upload is not a dead one, and a trickle must not hold memory for hours.
#[tokio::test(start_paused = true)]
async fn body_with_progress_is_read_and_trickle_ends() {
    let upstream = Upstream::start().await.unwrap();
    let settings = "[limits]\nbody_timeout = '10s'\nbody_rate = 1024\n";
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with(settings, &endpoint).await;
    for (piece, pieces, expected) in [(4096, 10, "HTTP/1.1 200 "), (1, 100, "HTTP/1.1 408 ")] {
        let socket = gateway.connect(head(piece * pieces)).await;
        let (mut reader, mut writer) = socket.into_split();
        let writing = tokio::spawn(async move {
            for _ in 0..pieces {
                sleep(3 * SECOND).await;
                if writer.write_all(&vec![b' '; piece]).await.is_err() {
                    break;
                }
            }
            writer
        });
        let mut status = [0; 13];
        in_time(reader.read_exact(&mut status)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&status), expected);
        writing.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn unused_http2_connection_ends_after_idle_timeout() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let (mut sender, connection) = http2_connection(&gateway).await;
    let request = Request::get(gateway.url("/v1/models")).body(Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    answer.into_body().collect().await.unwrap();

    let start = Instant::now();
    let _ = in_time_of(10, connection).await;
    let took = start.elapsed();
    assert!(took >= 60 * SECOND && took <= 181 * SECOND, "{took:?}");
}

/// Such a client would hold a connection, a request and an endpoint's answer.
#[tokio::test(start_paused = true)]
async fn client_that_reads_no_answer_is_disconnected() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::raw(200, [], "x".repeat(64 * MIB)));
    let gateway = Gateway::over(&[&upstream]).await;
    let _socket = gateway.connect(complete()).await;
    in_time(upstream.wait_for_requests(1)).await;
    in_time_of(10, async {
        while gateway.stack.snapshot().in_flight > 0 {
            sleep(SECOND).await;
        }
    })
    .await;
}

// ===== Connections and requests =====

#[tokio::test]
async fn connection_without_complete_request_is_closed_for_new_one() {
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("[limits]\nmax_connections = 4\n", &endpoint).await;
    let mut oldest = gateway.connect("GET /v1/mod").await;
    let mut held = Vec::new();
    for sent in ["", "PRI * HT", &*(head(100) + "{")] {
        held.push(gateway.connect(sent).await);
    }
    for _ in 0..20 {
        assert_eq!(gateway.post(CHAT, REQUEST).await.status(), 200);
    }
    assert_eq!(rest(&mut oldest).await, "");
}

#[tokio::test]
async fn connection_beyond_bound_gets_503_while_all_are_busy() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::silence());
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("[limits]\nmax_connections = 2\n", &endpoint).await;
    let mut busy = Vec::new();
    for n in 1..=2 {
        busy.push(gateway.connect(complete()).await);
        in_time(upstream.wait_for_requests(n)).await;
    }
    let answer = gateway.post(CHAT, REQUEST).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(header(&answer, "retry-after"), "1");
    assert_eq!(json(answer).await["error"]["code"], "too_many_connections");
    assert_eq!(upstream.counts().requests, 2);

    upstream.set(Reply::ok());
    drop(busy);
    gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    assert_eq!(gateway.post(CHAT, REQUEST).await.status(), 200);
}

/// A process has 1024 descriptors by default, and a connection that is not accepted waits.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn incomplete_requests_do_not_use_up_descriptors() {
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = GatewayProcess::start(&endpoint, &[]).await;
    gateway.limit_descriptors(100);
    let mut held = Vec::new();
    for _ in 0..150 {
        let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
        // The gateway may have closed it.
        let _ = socket.write_all(b"POST /v1/").await;
        held.push(socket);
    }
    let request = Request::post(format!("http://{}{CHAT}", gateway.addr));
    let answer = new_client(Version::HTTP_11).request(request.body(body_of(REQUEST)).unwrap());
    // Without a free descriptor, the request waits for the time limit of the heads.
    let answer = timeout(20 * SECOND, answer).await;
    answer.expect("an answer in time").unwrap();
}

#[tokio::test]
async fn request_beyond_bound_gets_503() {
    let upstream = Upstream::start().await.unwrap();
    upstream.next(Reply::silence());
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("[limits]\nmax_requests = 1\n", &endpoint).await;
    let busy = gateway.connect(complete()).await;
    in_time(upstream.wait_for_requests(1)).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let answer = gateway.stream(version).await;
        assert_eq!(answer.status(), 503, "{version:?}");
        assert_eq!(header(&answer, "retry-after"), "1");
        assert_eq!(json(answer).await["error"]["code"], "too_many_requests");
    }
    drop(busy);
    gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    in_time(async { while gateway.post(CHAT, REQUEST).await.status() != 200 {} }).await;
}

/// A client learns the bound from the settings, and the protocol refuses further streams. Streams
/// below it still end.
#[tokio::test]
async fn stream_beyond_bound_is_refused() {
    const REFUSED: [u8; 4] = [0, 0, 0, 7];
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("[limits]\nmax_streams = 2\n", &endpoint).await;
    let head = |stream| {
        let block = header_block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", CHAT),
            (":authority", "localhost"),
        ]);
        frame(Frame::HEADERS, Frame::END_HEADERS, stream, &block)
    };
    // The settings of the server are in force when the client has acknowledged them.
    let acknowledged = frame(Frame::SETTINGS, 1, 0, &[]);
    let mut socket = gateway.connect([preface(), acknowledged].concat()).await;
    sleep(Duration::from_millis(50)).await;
    let end = frame(Frame::DATA, Frame::END_STREAM, 1, REQUEST.as_bytes());
    let sent = [head(1), head(3), head(5), end].concat();
    socket.write_all(&sent).await.unwrap();
    let mut bytes = Vec::new();
    let is_end = |frame: &Frame| frame.stream == 1 && frame.flags & Frame::END_STREAM != 0;
    while !frames(&bytes).iter().any(is_end) {
        assert!(in_time(socket.read_buf(&mut bytes)).await.unwrap() > 0);
    }
    let received = frames(&bytes);
    // SETTINGS_MAX_CONCURRENT_STREAMS is 3.
    let settings = received.iter().find(|it| it.kind == Frame::SETTINGS);
    let announced = settings.expect("settings").payload.chunks(6);
    assert!(announced.into_iter().any(|it| it == [0, 3, 0, 0, 0, 2]));
    let reset = |it: &&Frame| it.kind == Frame::RST_STREAM;
    let resets: Vec<_> = received.iter().filter(reset).collect();
    assert_eq!(resets.len(), 1, "{received:?}");
    assert_eq!((resets[0].stream, &*resets[0].payload), (5, &REFUSED[..]));
    assert_eq!(upstream.counts().requests, 1);
}

// ===== Memory =====

#[tokio::test]
async fn bodies_beyond_memory_get_503_until_memory_is_free() {
    let upstream = Upstream::start().await.unwrap();
    let settings = format!(
        "[limits]\nmax_body = {}\nbody_memory = {}\n",
        2 * MIB,
        2 * MIB
    );
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with(&settings, &endpoint).await;
    // An announced body takes no memory before it arrives.
    let announced = gateway.connect(head(2 * MIB)).await;
    assert_eq!(gateway.post(CHAT, &" ".repeat(2 * MIB)).await.status(), 200);
    // The body of a request in progress counts until its answer ends.
    upstream.next(Reply::silence());
    let busy = gateway.connect(head(MIB) + &" ".repeat(MIB)).await;
    in_time(upstream.wait_for_requests(2)).await;
    for size in [MIB + 1, 2 * MIB] {
        let answer = gateway.post(CHAT, &" ".repeat(size)).await;
        assert_eq!(answer.status(), 503, "{size}");
        assert_eq!(header(&answer, "retry-after"), "1");
        assert_eq!(json(answer).await["error"]["code"], "no_memory");
    }
    assert_eq!(gateway.post(CHAT, &" ".repeat(MIB)).await.status(), 200);

    drop((busy, announced));
    gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    in_time(async { while gateway.post(CHAT, &" ".repeat(2 * MIB)).await.status() != 200 {} })
        .await;
}

// ===== Shutdown =====

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_incomplete_requests() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let mut open = Vec::new();
    for sent in ["", "PRI * HT", "GET /v1/mod", &*(head(100) + "{")] {
        open.push(gateway.connect(sent).await);
    }
    let mut unused = gateway.connect(complete()).await;
    let mut status = [0; 13];
    in_time(unused.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 ");
    // The server reads what was sent.
    sleep(SECOND).await;

    let start = Instant::now();
    gateway.stop.send(()).unwrap();
    gateway.server.await.unwrap();
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_complete_request_without_answer() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().latency(5 * SECOND));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut socket = gateway.connect(complete()).await;
    in_time(upstream.wait_for_requests(1)).await;
    gateway.stop.send(()).unwrap();
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    gateway.server.await.unwrap();
}

/// The event passes 100 ms before the end of its stream.
#[tokio::test]
async fn error_event_arrives_during_shutdown() {
    const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for stop_at in ["content", "event: error"] {
            let (break_off, broken) = watch::channel(false);
            let server = RawServer::start(move |_, mut stream| {
                let mut broken = broken.clone();
                async move {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                                transfer-encoding: chunked\r\n\r\n";
                    let chunk = format!("{:x}\r\n{TOKEN}\r\n", TOKEN.len());
                    stream
                        .write_all((head.to_owned() + &chunk).as_bytes())
                        .await?;
                    let _ = broken.wait_for(|it| *it).await;
                    Ok(None)
                }
            })
            .await;
            let gateway = Gateway::start(&endpoint_table("dying", &server.url())).await;
            let mut body = gateway.stream(version).await.into_body();
            if stop_at != "content" {
                break_off.send(true).unwrap();
            }
            let (mut text, mut stop) = (String::new(), Some(gateway.stop));
            while let Some(Ok(frame)) = in_time(body.frame()).await {
                text += &String::from_utf8_lossy(frame.data_ref().unwrap());
                if text.contains(stop_at)
                    && let Some(stop) = stop.take()
                {
                    stop.send(()).unwrap();
                    // Behind the phase of the connection.
                    sleep(Duration::from_millis(20)).await;
                    break_off.send(true).unwrap();
                }
            }
            assert!(stop.is_none(), "{version:?} {stop_at}: {text}");
            let event = "event: error\ndata: {\"error\":";
            assert!(
                text.contains(event) && text.ends_with("\n\n"),
                "{version:?} {stop_at}: {text}"
            );
            in_time(gateway.server).await.unwrap();
        }
    }
}

#[test]
fn invalid_bound_is_named() {
    use examples::gateway::Config;
    for (field, value) in [
        ("max_connections", "0"),
        ("max_requests", "-1"),
        ("max_streams", "0"),
        ("max_body", "0"),
        ("body_memory", "1"),
        ("body_memory", "9000000000000000"),
        ("body_rate", "0"),
        ("head_timeout", "'0s'"),
        ("body_timeout", "'soon'"),
        ("idle_timeout", "5"),
        ("drian", "'1s'"),
    ] {
        let endpoint = endpoint_table("a", DOWN);
        let text = format!("listen = '127.0.0.1:0'\n[limits]\n{field} = {value}\n{endpoint}");
        let error = Config::parse(&text).expect_err(&text).to_string();
        assert!(error.contains(&format!("limits.{field}: ")), "{error}");
    }
}
