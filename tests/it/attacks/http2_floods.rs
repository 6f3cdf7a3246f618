//! Floods of HTTP/2 frames. The connection ends or waits, and other callers are served.

use stack_tests::SECOND;
use stack_tests::raw::{Frame, connect, continuation, flood, frame, get, header_block, preface};
use steadfast_testkit::{Reply, Upstream};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::scaled;

/// Makes the frames of round `n`.
type Frames = fn(u32) -> Vec<u8>;

/// The reaction of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It closes the connection.
    Closed,
    /// It closes the connection, or ignores the frames, or reads no further: none takes memory.
    Any,
}

const CANCEL: [u8; 4] = [0, 0, 0, 8];
const ZERO: [u8; 4] = [0; 4];
const LARGEST: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// Each attack: its frames, and the reaction.
const FLOODS: &[(&str, Frames, End)] = &[
    ("rapid reset", rapid_reset, End::Closed),
    (
        "MadeYouReset by an increment of zero",
        made_you_reset,
        End::Closed,
    ),
    (
        "MadeYouReset by a window overflow",
        window_overflow,
        End::Closed,
    ),
    ("MadeYouReset by a late body", late_body, End::Closed),
    (
        "MadeYouReset by a dependency on itself",
        own_dependency,
        End::Any,
    ),
    ("CONTINUATION without end", endless_block, End::Closed),
    ("empty CONTINUATION", empty_block, End::Closed),
    ("HPACK references to a large entry", hpack_bomb, End::Closed),
    ("HPACK resizes of the table", hpack_resizes, End::Closed),
    ("settings", |_| frame(Frame::SETTINGS, 0, 0, &[]), End::Any),
    ("pings", |_| frame(Frame::PING, 0, 0, &[0; 8]), End::Any),
    ("empty data", empty_data, End::Any),
    ("small data", small_data, End::Any),
    (
        "priorities",
        |n| frame(Frame::PRIORITY, 0, odd(n), &[0, 0, 0, 0, 1]),
        End::Any,
    ),
    (
        "window updates",
        |_| frame(Frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        End::Any,
    ),
    ("unknown frames", |_| frame(0xbe, 0, 0, &[0; 100]), End::Any),
    ("unfinished requests", |n| unfinished(odd(n)), End::Any),
];

/// The stream of round `n`.
fn odd(n: u32) -> u32 {
    2 * n + 1
}

fn rapid_reset(n: u32) -> Vec<u8> {
    let reset = frame(Frame::RST_STREAM, 0, odd(n), &CANCEL);
    [get(odd(n), "/v1/models"), reset].concat()
}

fn made_you_reset(n: u32) -> Vec<u8> {
    let update = frame(Frame::WINDOW_UPDATE, 0, odd(n), &ZERO);
    [get(odd(n), "/v1/models"), update].concat()
}

fn window_overflow(n: u32) -> Vec<u8> {
    let update = frame(Frame::WINDOW_UPDATE, 0, odd(n), &LARGEST);
    [get(odd(n), "/v1/models"), update].concat()
}

fn late_body(n: u32) -> Vec<u8> {
    let data = frame(Frame::DATA, 0, odd(n), b"x");
    [get(odd(n), "/v1/models"), data].concat()
}

fn own_dependency(n: u32) -> Vec<u8> {
    let mut payload = odd(n).to_be_bytes().to_vec();
    payload.push(1);
    let priority = frame(Frame::PRIORITY, 0, odd(n), &payload);
    [get(odd(n), "/v1/models"), priority].concat()
}

fn endless_block(n: u32) -> Vec<u8> {
    let block = header_block(&[("x", &"a".repeat(16_000))]);
    match n {
        0 => frame(Frame::HEADERS, Frame::END_STREAM, 1, &block),
        _ => continuation(1, &block),
    }
}

fn empty_block(n: u32) -> Vec<u8> {
    match n {
        0 => frame(Frame::HEADERS, Frame::END_STREAM, 1, &[]),
        _ => continuation(1, &[]),
    }
}

/// The first block puts an entry of 4 KiB into the table. Each further byte repeats it.
fn hpack_bomb(n: u32) -> Vec<u8> {
    let flags = Frame::END_HEADERS | Frame::END_STREAM;
    let mut block = header_block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/v1/models"),
    ]);
    if n == 0 {
        let mut entry = header_block(&[("x", &"a".repeat(4000))]);
        entry[0] = 0x40;
        block.extend(entry);
    } else {
        // Index 62 is the first entry of the dynamic table.
        block.extend([0x80 | 62; 16_000]);
    }
    frame(Frame::HEADERS, flags, odd(n), &block)
}

fn hpack_resizes(n: u32) -> Vec<u8> {
    // A size of 0, then the largest integer: an error of the coding.
    let block = [0x20, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    frame(
        Frame::HEADERS,
        Frame::END_HEADERS | Frame::END_STREAM,
        odd(n),
        &block,
    )
}

fn unfinished(stream: u32) -> Vec<u8> {
    let block = header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/chat/completions"),
        (":authority", "localhost"),
    ]);
    frame(Frame::HEADERS, Frame::END_HEADERS, stream, &block)
}

fn empty_data(n: u32) -> Vec<u8> {
    match n {
        0 => unfinished(1),
        _ => frame(Frame::DATA, 0, 1, &[]),
    }
}

fn small_data(n: u32) -> Vec<u8> {
    match n {
        0 => unfinished(1),
        _ => frame(Frame::DATA, 0, 1, b" "),
    }
}

/// Makes many rounds at once, for few writes.
fn rounds(frames: Frames) -> impl FnMut() -> Vec<u8> {
    let mut n = 0;
    move || {
        let mut bytes = Vec::new();
        while bytes.len() < 64 << 10 {
            bytes.extend(frames(n));
            n += 1;
        }
        bytes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_frames_takes_no_memory_and_few_attempts() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = GatewayProcess::over([&*upstream.url()]).await;
    let others = OtherCaller::start(gateway.addr).await;
    let (before, _) = gateway.memory();
    for (name, frames, end) in FLOODS {
        upstream.clear_log();
        let mut stream = connect(gateway.addr).await;
        stream.write_all(&preface()).await.unwrap();
        // A server that reads no further is one that the flood does not reach.
        let limit = scaled(8 << 20, 64 << 20);
        let patience = if *end == End::Closed { 30 } else { 1 };
        let flooding = flood(stream, limit, rounds(*frames));
        let flooded = timeout(patience * SECOND, flooding).await.ok();
        let closed = flooded.is_some_and(|(_, closed)| closed);
        assert!(*end == End::Any || closed, "{name}: {flooded:?}");
        let attempts = upstream.log();
        let attempts = attempts
            .iter()
            .filter(|it| it.path() == "/v1/models")
            .count();
        println!("{name}: {attempts} attempts, {flooded:?}");
        assert!(attempts <= 1200, "{name}: {attempts} attempts");
    }
    others.finish("floods of frames").await;
    gateway.assert_memory("floods of frames", before, 32);
}

/// The caller opens streams with a window of zero bytes, and reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_window_take_bounded_memory() {
    let upstream = Upstream::start().await.unwrap();
    let answer = vec![b'x'; 8 << 20];
    upstream.set(Reply::raw(200, [("content-type", "text/plain")], answer));
    let gateway = GatewayProcess::over([&*upstream.url()]).await;
    let (before, _) = gateway.memory();
    let mut stream = connect(gateway.addr).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 4.
    let window = frame(Frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let requests = (0..100).flat_map(|n| get(odd(n), "/v1/files/f/content"));
    let sent: Vec<u8> = preface()
        .into_iter()
        .chain(window)
        .chain(requests)
        .collect();
    stream.write_all(&sent).await.unwrap();
    timeout(20 * SECOND, upstream.wait_for_requests(50))
        .await
        .unwrap();
    tokio::time::sleep(SECOND / 2).await;
    gateway.assert_memory("100 answers of 8 MiB without a window", before, 128);
    drop(stream);
    let others = OtherCaller::start(gateway.addr).await;
    others.finish("answers without a window").await;
}
