//! The answer behind a head that has been sent.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use steadfast_core::layer::verdict_of;
use steadfast_core::{BoxError, Classified};

use crate::body::ResponseBody;
use crate::content_type;
use crate::edge::MAX_ANSWER;
use crate::encoding::Encoding;
use crate::error_format::ErrorEvent;
use crate::respond::{ERROR, error_event, event};

/// The part of an error body that is put into an event.
const MAX_ERROR: usize = 64 * 1024;

/// The rest of a body behind its comments.
pub(super) enum Answer {
    /// The complete stream.
    Stream(ResponseBody),
    /// A whole answer as an event, or a decoded stream.
    Whole(Bytes),
    /// An error, as an event and for the end of the body.
    Failed(Bytes, BoxError),
}

/// The final answer of a buffered stream has a status that its head no longer can have.
#[derive(Debug)]
struct FinalStatus(StatusCode);

impl fmt::Display for FinalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the final answer has status {}", self.0.as_str())
    }
}

impl std::error::Error for FinalStatus {}

/// The outcome of all attempts.
type Outcome = Result<Response<ResponseBody>, BoxError>;

/// Waits for the answer, and converts it to the rest of a stream.
pub(super) async fn wait_for(answer: impl Future<Output = Outcome>, format: ErrorEvent) -> Answer {
    let response = match answer.await {
        Ok(response) => response,
        Err(error) => return failed(error, format),
    };
    // The head that was sent names no encoding.
    let encoding = Encoding::of(response.headers());
    let events = content_type::is_events(response.headers());
    if events && encoding.is_none() {
        return Answer::Stream(response.into_body());
    }
    let verdict = verdict_of(Ok(&response));
    if !verdict.is_success() {
        let error = Classified::new(verdict, FinalStatus(response.status()));
        return refused(error, (response.into_body(), encoding), format).await;
    }
    match read(response.into_body(), encoding, MAX_ANSWER).await {
        Ok(text) if events => Answer::Whole(text.into()),
        Ok(text) => Answer::Whole(event("", &text)),
        Err(error) => failed(error, format),
    }
}

/// Returns an error in the words of its endpoint, if these are in the format of an API.
async fn refused(
    error: Classified,
    (body, encoding): (ResponseBody, Option<Encoding>),
    format: ErrorEvent,
) -> Answer {
    match read(body, encoding, MAX_ERROR).await {
        Ok(text) if is_object(&text) => Answer::Failed(event(ERROR, &text), error.into()),
        _ => failed(error.into(), format),
    }
}

/// Returns an error in the format of the API.
fn failed(error: BoxError, format: ErrorEvent) -> Answer {
    Answer::Failed(error_event(&error, format, 0), error)
}

/// Reads and decodes a body, up to a limit beyond which nothing of it is of use.
async fn read(
    mut body: ResponseBody,
    encoding: Option<Encoding>,
    max: usize,
) -> Result<Vec<u8>, BoxError> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(&frame?.into_data().unwrap_or_default());
        if text.len() > max {
            return Err("the answer is too large for an event".into());
        }
    }
    match encoding {
        None => Ok(text),
        Some(encoding) => match encoding.decode_apart(text).await {
            (text, Ok(())) => Ok(text),
            _ => Err("the encoding of the answer cannot be read".into()),
        },
    }
}

/// Returns whether a text is one JSON object, as the errors of APIs are.
fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
