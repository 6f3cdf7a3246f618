//! A whole answer, which is read to its end and checked.
//!
//! A `200` is a claim. A login page, a lost connection and an error in the format of an answer become
//! failures of the endpoint, as long as nothing has reached the caller.

use std::borrow::Cow;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use steadfast_core::BoxError;

use crate::dialect::{Shape, judge};
use crate::edge::asked::Asked;
use crate::edge::body::{EdgeBody, FRAME};
use crate::edge::limits::Limits;
use crate::edge::preamble::read_preamble;
use crate::encoding::{Encoding, Undecoded};

/// A larger answer is passed on unread.
pub(crate) const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Reads an answer to its end, and checks its shape.
///
/// An answer that breaks is an error. An answer of another shape is passed on with the verdict of a
/// failure, so that another endpoint can serve the request.
pub(super) async fn read_whole<B>(
    response: &mut Response<EdgeBody<B>>,
    limits: &Limits,
    asked: &mut Asked,
    shape: Shape,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let body = response.body_mut();
    let mut size = 0;
    let mut begun = false;
    loop {
        match body.next_data().await {
            Some(Some(data)) => {
                // Some servers send a stream with another content type, or with none.
                if !begun && limits.streaming && looks_like_events(&data) {
                    return Box::pin(read_preamble(response, limits, asked)).await;
                }
                begun |= !data.is_empty();
                size += FRAME + data.len();
                if size > MAX_ANSWER {
                    return Ok(());
                }
            }
            Some(None) => return Err(body.take_error().expect("the item read last is an error")),
            None => break,
        }
    }
    let sent = response.body().joined();
    let text = match Encoding::of(response.headers()) {
        None => sent,
        Some(encoding) => match encoding.decode_apart(sent.into_owned()).await {
            // It is passed on unread.
            (_, Err(Undecoded::TooLong | Undecoded::Unknown)) => return Ok(()),
            (text, _) => Cow::Owned(text),
        },
    };
    // A rule of the user precedes the check.
    let ruled = asked.by_rule(response, &text);
    let verdict = match judge(&text, shape, &asked.context) {
        Ok(accepted) => {
            let settings = &asked.settings;
            if let Some(counts) = accepted.usage {
                settings.usage.record(counts.input, counts.output);
            }
            if let (None, Some(creates), Some(id)) = (ruled, &asked.creates, accepted.id) {
                creates.remember(id, &settings.endpoint);
            }
            ruled
        }
        Err(verdict) => Some(ruled.unwrap_or_else(|| asked.context.text.mark(verdict))),
    };
    drop(text);
    if let Some(verdict) = verdict {
        response.extensions_mut().insert(verdict);
    }
    Ok(())
}

/// Returns whether an answer begins as a stream of events does. JSON begins with none of these.
fn looks_like_events(data: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] = [b"data:", b"event:", b"id:", b"retry:", b"error:", b":"];
    let data = data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data);
    STARTS
        .iter()
        .any(|start| data.trim_ascii_start().starts_with(start))
}
