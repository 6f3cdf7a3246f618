use std::future::{Future, poll_fn};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use steadfast_core::layer::{LateVerdict, verdict_of};
use steadfast_core::{BoxError, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::dialect::refine;
use crate::edge::body::EdgeBody;
use crate::edge::limits::Limits;
use crate::edge::stream::{Stream, StreamBroken};
use crate::edge::timed::Clock;
use crate::edge::transport::classified;

/// So much of an error body is read to find out what it means.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// And for so long: another endpoint is waiting to answer.
const ERROR_BODY_TIME: Duration = Duration::from_millis(250);
/// A stream that says so much without anything visible is passed on as it is.
const MAX_PREAMBLE_EVENTS: usize = 64;
const MAX_PREAMBLE_BYTES: usize = 256 * 1024;

/// What a frame counts beside its data. A server may send empty ones without end.
const FRAME: usize = 64;

/// Waits for the answer of an attempt until it is known what it means: the head of most answers,
/// the body of an error, the first visible token of a stream.
pub(crate) async fn attempt<F, B, E>(
    future: F,
    limits: Limits,
) -> Result<Response<EdgeBody<B>>, BoxError>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    // A server would work, and send a bill, for a caller who is gone.
    if let Some(passed) = limits.passed() {
        return Err(passed.into());
    }
    let clock = Clock::UntilOr(limits.total, limits.idle);
    let response = match timeout_at(limits.head.at, future).await {
        Ok(Ok(response)) => response.map(|body| EdgeBody::new(body, clock)),
        Ok(Err(error)) => return Err(classified(error.into())),
        Err(_) => return Err(limits.head.error().into()),
    };
    let verdict = verdict_of(Ok(&response));
    if !verdict.is_success() {
        return Ok(read_error(response, verdict).await);
    }
    if is_event_stream(&response) {
        return read_preamble(response, &limits).await;
    }
    let mut response = response;
    if has_events(response.headers()) {
        response.body_mut().set_clock(Clock::Idle(limits.idle));
    }
    Ok(response)
}

/// Reads the body of an error as far as it helps to understand it.
async fn read_error<B>(
    mut response: Response<EdgeBody<B>>,
    verdict: Verdict,
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
    let verdict = refine(verdict, response.status(), response.headers(), &text);
    response.extensions_mut().insert(verdict);
    response
}

/// Reads a stream until there is something that its reader would show.
async fn read_preamble<B>(
    mut response: Response<EdgeBody<B>>,
    limits: &Limits,
) -> Result<Response<EdgeBody<B>>, BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let body = response.body_mut();
    body.set_clock(Clock::Until(limits.first_token));
    let mut stream = Stream::default();
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
                // Not a word of what was asked for is no answer, whatever its status says.
                let nothing = limits.streaming && !stream.is_visible();
                if stream.failed().is_none() && (nothing || stream.broken().is_some()) {
                    return Err(StreamBroken::Truncated.classified().into());
                }
                break;
            }
        }
        if let Some(verdict) = stream.failed().filter(|_| !stream.is_visible()) {
            // It is an answer, and may be the best there is: then it is passed on as it came.
            body.set_clock(Clock::UntilOr(limits.total, limits.idle));
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

/// Whether a body is a stream of events that can be read: one in gzip cannot.
fn is_event_stream<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let encoded = headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    !encoded && has_events(headers)
}

fn has_events(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let kind = value.as_bytes().split(|&byte| byte == b';').next();
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}
