//! Frames of HTTP/2, written and read by hand (RFC 9113, RFC 7541).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect;

/// A frame that a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The type of a DATA frame.
    pub const DATA: u8 = 0;
    /// The type of a HEADERS frame.
    pub const HEADERS: u8 = 1;
    /// The type of a PRIORITY frame.
    pub const PRIORITY: u8 = 2;
    /// The type of a `RST_STREAM` frame.
    pub const RST_STREAM: u8 = 3;
    /// The type of a SETTINGS frame.
    pub const SETTINGS: u8 = 4;
    /// The type of a PING frame.
    pub const PING: u8 = 6;
    /// The type of a GOAWAY frame.
    pub const GOAWAY: u8 = 7;
    /// The type of a `WINDOW_UPDATE` frame.
    pub const WINDOW_UPDATE: u8 = 8;
    /// The type of a CONTINUATION frame.
    pub const CONTINUATION: u8 = 9;
    /// The flag of the last frame of a stream.
    pub const END_STREAM: u8 = 1;
    /// The flag of the last frame of a header block.
    pub const END_HEADERS: u8 = 4;

    /// Returns whether it ends the only request of a connection.
    fn ends_request(&self) -> bool {
        let is_answer = self.stream == 1 && self.kind <= Self::HEADERS;
        matches!(self.kind, Self::RST_STREAM | Self::GOAWAY)
            || is_answer && self.flags & Self::END_STREAM != 0
    }
}

/// Writes the preface of a client, with empty settings.
#[must_use]
pub fn preface() -> Vec<u8> {
    let settings = frame(Frame::SETTINGS, 0, 0, &[]);
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()
}

/// Writes a frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Writes the HEADERS frame of a whole GET request.
#[must_use]
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = header_block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
    ]);
    let flags = Frame::END_HEADERS | Frame::END_STREAM;
    frame(Frame::HEADERS, flags, stream, &block)
}

/// Sends one request on a connection of its own, and returns the frames of the server up to the end
/// of the answer, a reset, or the end of the connection.
///
/// # Panics
///
/// If the server refuses the connection.
pub async fn request_http2(
    addr: SocketAddr,
    fields: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<Frame> {
    let mut stream = connect(addr).await;
    let mut sent = preface();
    let block = header_block(fields);
    match body {
        Some(body) => {
            sent.extend(frame(Frame::HEADERS, Frame::END_HEADERS, 1, &block));
            sent.extend(frame(Frame::DATA, Frame::END_STREAM, 1, body));
        }
        None => {
            let flags = Frame::END_HEADERS | Frame::END_STREAM;
            sent.extend(frame(Frame::HEADERS, flags, 1, &block));
        }
    }
    // A server may close the connection at once, and its frames count nevertheless.
    let _ = stream.write_all(&sent).await;
    let mut bytes = Vec::new();
    loop {
        let answer = frames(&bytes);
        let ended = answer.iter().any(Frame::ends_request);
        if ended || !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return answer;
        }
    }
}

/// Writes a CONTINUATION frame that does not end its block.
#[must_use]
pub fn continuation(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(Frame::CONTINUATION, 0, stream, payload)
}

/// Writes fields as literals without indexing.
#[must_use]
pub fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_bytes());
        string(&mut block, value.as_bytes());
    }
    block
}

/// Writes a string without Huffman coding. Its length has a prefix of seven bits.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap_or(0));
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap_or(0));
    }
    block.extend(text);
}

/// Reads the whole frames of `bytes`.
#[must_use]
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, flags, s0, s1, s2, s3, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some(payload) = rest.get(..length) else {
            break;
        };
        frames.push(Frame {
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            payload: payload.to_vec(),
        });
        bytes = &rest[length..];
    }
    frames
}
