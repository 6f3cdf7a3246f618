//! One attempt: it waits for a response until the verdict is known.
//!
//! The verdict of most responses is in their head. Of an error, the body is read. Of a stream, the
//! preamble is read.

use std::future::{Future, poll_fn};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use steadfast_core::layer::{LateVerdict, verdict_of};
use steadfast_core::{BoxError, Classify, DefaultClassifier, Head, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::dialect::{RequestText, refine};
use crate::edge::body::EdgeBody;
use crate::edge::limits::Limits;
use crate::edge::stream::{Stream, StreamBroken};
use crate::edge::timed::Clock;
use crate::edge::transport::classified;
use crate::edge::unexpected::Unexpected;

/// The part of an error body that is read, at most.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// The time for that, at most: another endpoint may be ready to serve the request.
const ERROR_BODY_TIME: Duration = Duration::from_millis(250);
/// A stream with a longer preamble is passed on as it is.
const MAX_PREAMBLE_EVENTS: usize = 64;
const MAX_PREAMBLE_BYTES: usize = 256 * 1024;

/// The size that a frame counts beside its data. A server may send empty frames without end.
const FRAME: usize = 64;

/// Waits for the response of an attempt until its verdict is known.
///
/// Most responses need their head, an error needs its body, and a stream its first visible token.
///
/// An `async fn` would move its large arguments once more.
#[expect(
    clippy::manual_async_fn,
    reason = "the block keeps its arguments in place"
)]
pub(crate) fn attempt<F, B, E>(
    future: F,
    limits: Limits,
    request: RequestText,
) -> impl Future<Output = Result<Response<EdgeBody<B>>, BoxError>>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    async move {
        // The deadline has passed: the server would work, and bill, for nothing.
        if let Some(passed) = limits.passed() {
            return Err(passed.into());
        }
        let clock = Clock::Until(limits.total);
        let response = match timeout_at(limits.head.at, future).await {
            Ok(Ok(response)) => response.map(|body| EdgeBody::new(body, clock)),
            Ok(Err(error)) => return Err(classified(error.into())),
            Err(_) => return Err(limits.head.error().into()),
        };
        let verdict = verdict_of(Ok(&response));
        if is_final(&response) {
            return Ok(response);
        }
        if let Some(unexpected) = Unexpected::of(response.status(), limits.known) {
            return Err(unexpected.classified().into());
        }
        if !verdict.is_success() {
            return Ok(read_error(response, verdict, &request).await);
        }
        if !has_events(response.headers()) {
            return Ok(response);
        }
        if !is_encoded(response.headers()) {
            return read_preamble(response, &limits, request).await;
        }
        let mut response = response;
        response.body_mut().set_clock(Clock::Idle(limits.idle));
        Ok(response)
    }
}

/// Returns whether the client has its own class for the response. Then the body decides nothing.
fn is_final<B>(response: &Response<B>) -> bool {
    let given = response.extensions().get::<Verdict>();
    given.is_some_and(|given| {
        let head = Head::new(response.status(), response.headers());
        given.class() != DefaultClassifier.classify(Ok(head)).class()
    })
}

/// Reads the start of an error body, and refines the verdict by it.
async fn read_error<B>(
    mut response: Response<EdgeBody<B>>,
    verdict: Verdict,
    request: &RequestText,
) -> Response<EdgeBody<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let until = Instant::now() + ERROR_BODY_TIME;
    let body = response.body_mut();
    let mut text = BytesMut::new();
    let mut frames = 0;
    while text.len() + frames * FRAME < MAX_ERROR_BODY {
        let read = poll_fn(|cx| body.poll_ahead(cx).map(|item| item.map(copy_data)));
        match timeout_at(until, read).await {
            Ok(Some(Some(data))) => {
                frames += 1;
                text.extend_from_slice(&data);
            }
            // The body has ended or failed, or it is late.
            Ok(_) | Err(_) => break,
        }
    }
    let head = (response.status(), response.headers());
    let verdict = refine(verdict, head, &text, request);
    response.extensions_mut().insert(request.mark(verdict));
    response
}

/// Reads a stream up to its first visible token.
async fn read_preamble<B>(
    mut response: Response<EdgeBody<B>>,
    limits: &Limits,
    request: RequestText,
) -> Result<Response<EdgeBody<B>>, BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let body = response.body_mut();
    body.set_clock(Clock::Until(limits.first_token));
    let mut stream = Stream::new(request);
    let mut size = 0;
    while !stream.is_visible() && stream.seen() < MAX_PREAMBLE_EVENTS && size < MAX_PREAMBLE_BYTES {
        let read = poll_fn(|cx| body.poll_ahead(cx).map(|item| item.map(copy_data)));
        match read.await {
            Some(Some(data)) => {
                size += FRAME + data.len();
                stream.read(&data);
            }
            Some(None) => {
                let error = body.take_error();
                return Err(error.expect("the item read last is an error"));
            }
            None => {
                stream.finish();
                // A stream without a visible token is a failure, despite its status.
                let nothing = limits.streaming && !stream.is_visible();
                if stream.failed().is_none() && (nothing || stream.broken().is_some()) {
                    return Err(StreamBroken::Truncated.classified().into());
                }
                break;
            }
        }
        if let Some(verdict) = stream.failed().filter(|_| !stream.is_visible()) {
            // If no other endpoint serves the request, the caller gets this response unmodified.
            body.set_clock(Clock::Until(limits.total));
            response.extensions_mut().insert(verdict);
            return Ok(response);
        }
    }
    body.set_clock(Clock::Idle(limits.idle));
    let late = LateVerdict::new();
    body.watch(stream, late.clone(), limits.alive);
    response.extensions_mut().insert(late);
    Ok(response)
}

/// Returns the data of a frame, which is empty in trailers, or `None` for an error.
fn copy_data(item: &Result<Frame<Bytes>, BoxError>) -> Option<Bytes> {
    let frame = item.as_ref().ok()?;
    Some(frame.data_ref().cloned().unwrap_or_default())
}

/// Whether the body has an encoding such as gzip, in which events cannot be read.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn has_events(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let kind = value.as_bytes().split(|&byte| byte == b';').next();
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}
