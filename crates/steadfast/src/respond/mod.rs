//! Responses for errors, and the end of streams that break, for a server above the stack.

mod blocks;
mod event;
mod parting;
mod reported;
mod reporting;

use std::error::Error;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body_util::Full;
use steadfast_balance::PoolHandle;
use steadfast_core::layer::{RecordAttempts, verdict_of, verdict_of_error};
use steadfast_core::{Attempt, BoxError, Class, Exhausted, Trail};
use tokio::time::Instant;

use self::reporting::Reporting;
use crate::body::ResponseBody;
use crate::content_type;
use crate::dialect::below;
use crate::encoding::Encoding;
use crate::error_format::{self, ErrorFormat};
use crate::format::Format;
use crate::operation::API_ROOT;
use crate::stack::AiStack;

pub(crate) use self::event::{ERROR, error_event, event};
pub(crate) use self::parting::Parting;
pub(crate) use self::reported::Reported;

/// Converts an error of an [`AiStack`] to a response for an HTTP client, in the format of OpenAI.
///
/// | Root cause | Status | `type` | `code` |
/// |---|---|---|---|
/// | a rate limit | `429` | `rate_limit_error` | `rate_limit_exceeded` |
/// | a spent quota | `429` | `insufficient_quota` | `insufficient_quota` |
/// | a rejected credential of an endpoint | `401` | `invalid_request_error` | `invalid_api_key` |
/// | a missing model | `404` | `invalid_request_error` | `model_not_found` |
/// | a fault of the request, such as a body that failed while it was sent | `400` | `invalid_request_error` | `caller_fault` |
/// | open breakers: nothing was sent | `503` | `upstream_error` | the class of the last failure |
/// | overload, or a lack of descriptors, ports or memory on this machine | `503` | `upstream_error` | the class |
/// | a timeout | `504` | `upstream_error` | `timeout` |
/// | any other | `502` | `upstream_error` | the class |
///
/// The message has the reason of each endpoint, such as `` `primary` cools for 12 s after a 429``.
/// The header `retry-after` has the time until the soonest recovery. `x-should-retry: false` keeps
/// the client from multiplying the attempts of the stack. It is absent if nothing was sent and only
/// a wait helps.
#[must_use]
pub fn error_response(error: &BoxError) -> Response<Full<Bytes>> {
    respond(error, &error_format::WHOLE)
}

impl AiStack {
    /// Converts an error to a response in the format of the API at `path`: of Anthropic for
    /// `/v1/messages`, and otherwise of OpenAI.
    ///
    /// Apart from the format, the response equals the one of [`error_response`].
    #[must_use]
    pub fn error_response(&self, path: &str, error: &BoxError) -> Response<Full<Bytes>> {
        respond(error, format_of(self.endpoints(), path))
    }

    /// Ends a stream that breaks with an error event in the format of the API at `path`. For a
    /// server that passes `response` on.
    ///
    /// A client behind HTTP does not see the error of a body, only a lost connection. Its SDK
    /// raises the event as its own error, with the endpoint and the reason. The error of the body
    /// follows, so that the stream has no clean end.
    ///
    /// | Path | Event |
    /// |---|---|
    /// | chat completions, completions | `data: {"error": {…}}`, as OpenAI sends it |
    /// | responses | `{"type": "error", …}`, with a number in its stream |
    /// | messages | `{"type": "error", "error": {…}}`, as Anthropic sends it |
    /// | Google's `:streamGenerateContent?alt=sse` | `{"error": {"code": …}}`, as Google sends it |
    ///
    /// Each event has the name `error`. Events pass whole: an event that is cut would be no JSON,
    /// so it is held back until its end, up to 256 KiB. A cut event beyond that, an error event of
    /// the endpoint, and other responses remain as they are: whole answers, lists, compressed
    /// streams, streams with a `content-length`, and other paths.
    #[must_use]
    pub fn with_error_event(
        &self,
        path: &str,
        response: Response<ResponseBody>,
    ) -> Response<ResponseBody> {
        let headers = response.headers();
        let is_readable = content_type::is_events(headers)
            && Encoding::of(headers).is_none()
            && !headers.contains_key(CONTENT_LENGTH);
        if !is_readable {
            return response;
        }
        // A stream with another verdict has begun with an error event.
        let begun = verdict_of(Ok(&response)).is_success();
        let format = format_of(self.endpoints(), path).event;
        let format = format.filter(|_| begun);
        response.map(|body| ResponseBody::new(Reporting::new(body, format)))
    }
}

/// Returns the errors of the API at `path`.
pub(crate) fn format_of(endpoints: &PoolHandle, path: &str) -> &'static ErrorFormat {
    let path = endpoints.strip_request_root(path);
    let path = below(path, API_ROOT).unwrap_or(path);
    Format::of(path).map_or(&error_format::WHOLE, Format::errors)
}

fn respond(error: &BoxError, format: &ErrorFormat) -> Response<Full<Bytes>> {
    let source: &(dyn Error + 'static) = &**error;
    let verdict = verdict_of_error(error);
    let exhausted = match Exhausted::find(source) {
        Some(exhausted) => exhausted,
        None => {
            // The error of a lone attempt.
            let trail = Trail::new();
            trail.record(Attempt::new(Instant::now(), verdict));
            &Exhausted::new(trail, verdict, None)
        }
    };
    let body = (format.body)(verdict.class(), &error.to_string()).to_string();
    let mut response = exhausted.to_response().map(|()| Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !hint_stands(exhausted) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// Returns whether only a wait helps: nothing was sent, and the reason ends by itself.
fn hint_stands(exhausted: &Exhausted) -> bool {
    let lasts = matches!(
        exhausted.verdict().class(),
        Class::QuotaExhausted | Class::Unauthorized | Class::ModelUnavailable
    );
    exhausted.trail().is_empty() && exhausted.retry_in().is_some() && !lasts
}

#[cfg(test)]
mod tests;
