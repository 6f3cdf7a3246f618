//! The parts of a response that are not read in place: the body of an error, the preamble of a
//! stream, an encoded answer, and a new object.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Body;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::body::FRAME;
use crate::content_type;
use crate::dialect::refine;
use crate::edge::asked::Asked;
use crate::edge::attempt_state::{Attempt, Outcome};
use crate::edge::body::EdgeBody;
use crate::edge::limits::Limits;
use crate::edge::preamble::read_preamble;
use crate::edge::whole::read_whole;
use crate::encoding::{Encoding, Undecoded};

/// The part of an error body that is read, at most.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// The time for that, at most: another endpoint may be ready to serve the request.
const ERROR_BODY_TIME: Duration = Duration::from_millis(250);

/// Reads the body of a response until its verdict is known.
pub(super) type Reading<B> = Pin<Box<dyn Future<Output = Outcome<B>> + Send>>;

/// Reads an answer as far as its verdict depends on it, and records its latency. `is_stream` holds
/// for readable events.
///
/// # Cancel safety
///
/// A dropped future ends the attempt. The latency of a slow attempt is recorded all the same.
///
/// An `async fn` would move its large arguments once more.
#[expect(
    clippy::manual_async_fn,
    reason = "the block keeps its arguments in place"
)]
pub(super) fn read_answer<B>(
    mut attempt: Pin<Box<Attempt>>,
    mut response: Response<EdgeBody<B>>,
    is_stream: bool,
) -> impl Future<Output = Outcome<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    async move {
        let own = attempt.as_mut().project();
        let read = read(&mut response, is_stream, own.limits, own.asked);
        own.pace.within(pin!(read)).await??;
        if verdict_of(Ok(&response)).is_success() {
            own.pace.succeeded(false);
        }
        Ok(response)
    }
}

/// Reads the part of an answer that its kind requires: a stream up to its first visible token, a
/// checked answer to its end, and a new object up to its id.
///
/// The response keeps its frames.
async fn read<B>(
    response: &mut Response<EdgeBody<B>>,
    is_stream: bool,
    limits: &Limits,
    asked: &mut Asked,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let events = content_type::is_events(response.headers());
    match asked.shape {
        _ if is_stream => {
            // Its state is larger than the one of a whole answer.
            Box::pin(read_preamble(response, limits, asked)).await
        }
        Some(_) if asked.is_checked() && !events && response.status().is_success() => {
            read_whole(response, limits, asked).await
        }
        _ => {
            if events {
                response.body_mut().set_clock(limits.idle);
            } else if let Some(creates) = &asked.creates {
                creates
                    .read_object(response, &asked.settings.endpoint)
                    .await;
            }
            Ok(())
        }
    }
}

/// Reads the start of an error body, and refines the verdict by it.
pub(super) async fn read_error<B>(
    mut response: Response<EdgeBody<B>>,
    verdict: Verdict,
    asked: &Asked,
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
        match timeout_at(until, body.next_data()).await {
            Ok(Some(Some(data))) => {
                frames += 1;
                text.extend_from_slice(&data);
            }
            // The body has ended or failed, or it is late.
            Ok(_) | Err(_) => break,
        }
    }
    let head = (response.status(), response.headers());
    let encoding = Encoding::of(response.headers());
    let (text, decoded) = Encoding::decode(encoding.as_ref(), &text, MAX_ERROR_BODY);
    // A body that cannot be decoded looks like no JSON. It is not the page of a proxy for that.
    let is_readable = matches!(decoded, Ok(()) | Err(Undecoded::TooLong));
    let is_api = asked.shape.is_some() && is_readable;
    let verdict = refine(verdict, head, &text, &asked.context, is_api);
    response
        .extensions_mut()
        .insert(asked.context.text.mark(verdict));
    response
}
