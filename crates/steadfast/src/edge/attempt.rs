//! One attempt: it waits for a response until the verdict is known.
//!
//! Of an error, the body is read. Of an answer that a dialect has, the body is read as well: it may
//! report a failure. Of a stream, the preamble is read.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Body;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, Classify, DefaultClassifier, Head, Verdict};
use steadfast_edge::Clock;
use tokio::time::{Instant, timeout_at};

use crate::content_type;
use crate::dialect::refine;
use crate::edge::asked::Asked;
use crate::edge::body::{EdgeBody, FRAME};
use crate::edge::limits::Limits;
use crate::edge::pace::Pace;
use crate::edge::preamble::read_preamble;
use crate::edge::unexpected::Unexpected;
use crate::edge::whole::read_whole;
use crate::encoding::{Encoding, Undecoded};
use steadfast_edge::classified;

/// The part of an error body that is read, at most.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// The time for that, at most: another endpoint may be ready to serve the request.
const ERROR_BODY_TIME: Duration = Duration::from_millis(250);

/// Waits for the response of an attempt until its verdict is known.
///
/// An `async fn` would move its large arguments once more.
#[expect(
    clippy::manual_async_fn,
    reason = "the block keeps its arguments in place"
)]
pub(crate) fn attempt<F, B, E>(
    future: F,
    limits: Limits,
    mut pace: Pace,
    asked: Asked,
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
        let mut response = match pace.within(Some(limits.head), pin!(future)).await? {
            Ok(response) => response.map(|body| EdgeBody::new(body, clock)),
            Err(error) => return Err(classified(error.into())),
        };
        pace.answered();
        let verdict = verdict_of(Ok(&response));
        if is_final(&response) {
            return Ok(response);
        }
        if let Some(unexpected) = Unexpected::of(response.status(), limits.known) {
            return Err(unexpected.classified().into());
        }
        if !verdict.is_success() {
            return Ok(read_error(response, verdict, &asked).await);
        }
        pace.within(None, pin!(read(&mut response, &limits, asked)))
            .await??;
        if verdict_of(Ok(&response)).is_success() {
            pace.succeeded();
        }
        Ok(response)
    }
}

/// Reads an answer as far as its verdict needs.
async fn read<B>(
    response: &mut Response<EdgeBody<B>>,
    limits: &Limits,
    asked: Asked,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let events = content_type::is_events(response.headers());
    if events && Encoding::of(response.headers()).is_none() {
        return read_preamble(response, limits, asked).await;
    }
    match asked.shape {
        Some(shape) if asked.is_checked() && !events && response.status().is_success() => {
            return read_whole(response, limits, asked, shape).await;
        }
        _ if events => response.body_mut().set_clock(Clock::Idle(limits.idle)),
        _ => {
            if let Some(creates) = &asked.creates {
                creates
                    .read_object(response, &asked.settings.endpoint)
                    .await;
            }
        }
    }
    Ok(())
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
