//! The start of a stream, up to its first visible token.
//!
//! Until then nothing has reached the caller, so another endpoint can serve the request. The events
//! that were read pass unchanged.

use std::mem::take;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use steadfast_core::layer::LateVerdict;
use steadfast_core::{BoxError, Verdict};
use steadfast_edge::Clock;

use crate::answers::StreamMode;
use crate::body::FRAME;
use crate::dialect::judge;
use crate::edge::asked::Asked;
use crate::edge::body::EdgeBody;
use crate::edge::collect::collect;
use crate::edge::limits::Limits;
use crate::edge::stream::{Stream, StreamBroken};

/// A stream with a longer preamble is passed on as it is.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;

/// The state of a stream whose start is being read.
enum Start {
    /// It is not known whether the answer begins.
    Pending,
    /// The stream is to be passed on.
    Begun,
    /// An event, or JSON in its place, reports a failure.
    Failed(Verdict),
    /// The connection broke, or the stream ended without an answer.
    Broken(BoxError),
}

/// Reads a stream up to its first visible token. Frames may have been read ahead.
pub(super) async fn read_preamble<B>(
    response: &mut Response<EdgeBody<B>>,
    limits: &Limits,
    asked: &mut Asked,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let body = response.body_mut();
    body.set_clock(Clock::Until(limits.first_token()));
    let is_answer = limits.streaming || asked.shape.is_some();
    let mut stream = Stream::new(take(&mut asked.context), asked.shape.is_some());
    let memory = &asked.settings.shared.memory;
    let mut size = 0;
    for data in body.read_ahead() {
        size += FRAME + data.len();
        stream.read(data);
    }
    let mut start = start_of(&stream, size);
    while let Start::Pending = start {
        start = match body.next_data().await {
            Some(Some(data)) => {
                size += FRAME + data.len();
                stream.read(&data);
                match body.hold(memory, size) {
                    true => start_of(&stream, size),
                    false => Start::Begun,
                }
            }
            Some(None) => Start::Broken(body.take_error().expect("the item read last is an error")),
            None => {
                stream.finish();
                end_of(&stream, body, is_answer)
            }
        };
    }
    match start {
        Start::Broken(error) => return Err(error),
        Start::Failed(verdict) => {
            // If no other endpoint serves the request, the caller gets this response unmodified.
            body.set_clock(Clock::Until(limits.total));
            response.extensions_mut().insert(verdict);
        }
        Start::Pending | Start::Begun => {
            if let Some(creates) = &asked.creates {
                creates.read_start(body, &asked.settings.endpoint);
            }
            if asked.streams == StreamMode::Buffered {
                let collected = collect(body, &mut stream, size, limits, memory).await;
                let tokens = stream.tokens();
                collected.map_err(|error| asked.settings.stream_broke(error, tokens))?;
            }
            body.set_clock(limits.idle);
            let late = LateVerdict::new();
            let failed = stream.failed();
            body.watch(stream, late.clone(), asked.settings.clone(), limits.alive);
            response.extensions_mut().insert(late);
            if let (StreamMode::Buffered, Some(verdict)) = (asked.streams, failed) {
                response.extensions_mut().insert(verdict);
            }
        }
    }
    Ok(())
}

/// Returns the state of a stream that may go on.
fn start_of(stream: &Stream, size: usize) -> Start {
    if stream.is_visible() {
        return Start::Begun;
    }
    if let Some(verdict) = stream.failed() {
        return Start::Failed(verdict);
    }
    if stream.is_done() {
        return Start::Broken(StreamBroken::Truncated.classified().into());
    }
    if stream.seen() >= MAX_EVENTS || size >= MAX_BYTES {
        return Start::Begun;
    }
    Start::Pending
}

/// Returns the state of a stream that has ended.
///
/// A stream without a visible token is a failure, despite its status.
fn end_of<B>(stream: &Stream, body: &EdgeBody<B>, is_answer: bool) -> Start
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if let Some(verdict) = stream.failed().filter(|_| !stream.is_visible()) {
        return Start::Failed(verdict);
    }
    let nothing = is_answer && !stream.is_visible();
    if nothing && stream.seen() == 0 {
        // Some servers send a JSON error with the type of a stream.
        let text = body.joined();
        if text.trim_ascii_start().starts_with(b"{") {
            if let Err(verdict) = judge(&text, &[], stream.context()) {
                return Start::Failed(stream.context().text.mark(verdict));
            }
        }
    }
    if nothing || stream.broken().is_some() {
        return Start::Broken(StreamBroken::Truncated.classified().into());
    }
    Start::Begun
}
