use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use steadfast::{BoxError, Class, Exhausted, Trail, error_response};
use steadfast_core::layer::{verdict_of, verdict_of_error};

/// A request without success: the refused response of an endpoint, or no response at all.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    class: Class,
    code: Option<String>,
    message: String,
    retry_in: Option<Duration>,
    trail: Trail,
    source: Option<BoxError>,
}

/// The largest error body that is read.
const MAX_ERROR: usize = 64 * 1024;
/// The longest text of a server in a message, in characters.
const MAX_TEXT: usize = 1000;

/// Returns the response if it is a success, and otherwise an error.
///
/// Covers both kinds of failures: a refused response of an endpoint, and a request without a
/// response.
///
/// ```
/// use http::Request;
/// use steadfast::{AiStack, Endpoint};
/// use steadfast_chat::check;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), steadfast_chat::BoxError> {
/// # let upstream = steadfast_testkit::Upstream::start().await?;
/// # upstream.set(steadfast_testkit::Reply::status(400));
/// # let url = upstream.url();
/// let ai = AiStack::builder().endpoint(Endpoint::new("primary", &url)?).build()?;
/// let request = Request::get("/v1/models").body(String::new())?;
/// match check(ai.send(request).await).await {
///     Ok(response) => println!("{:?}", response.headers()),
///     Err(error) => println!("{}: {}, retry in {:?}", error.status(), error, error.retry_in()),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns an error unless the status is a success. The body of a refused response is read up to
/// 64 KiB.
pub async fn check<B>(outcome: Result<Response<B>, BoxError>) -> Result<Response<B>, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match outcome {
        Ok(response) if response.status().is_success() => Ok(response),
        Ok(response) => Err(ApiError::of_response(response).await),
        Err(error) => Err(ApiError::of_error(error)),
    }
}

impl ApiError {
    /// Creates an error without a response, for tests of its handling.
    #[must_use]
    pub fn new(status: StatusCode, class: Class, message: impl Into<String>) -> Self {
        Self {
            status,
            class,
            code: Some(class.as_str().to_owned()),
            message: message.into(),
            retry_in: None,
            trail: Trail::new(),
            source: None,
        }
    }

    /// Creates an error with a time after which a retry can help.
    #[must_use]
    pub fn with_retry_in(mut self, wait: Duration) -> Self {
        self.retry_in = Some(wait);
        self
    }

    async fn of_response<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let verdict = verdict_of(Ok(&response));
        let trail = Trail::of(response.extensions()).cloned();
        let status = response.status();
        // A body that is too large or broken leaves the status.
        let body = Limited::new(response.into_body(), MAX_ERROR)
            .collect()
            .await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let (code, message) = read(&body);
        Self {
            status,
            class: verdict.class(),
            code,
            message: message.unwrap_or_else(|| "no message".to_owned()),
            retry_in: verdict.hint().filter(|wait| !wait.is_zero()),
            trail: trail.unwrap_or_default(),
            source: None,
        }
    }

    pub(crate) fn of_error(error: BoxError) -> Self {
        let verdict = verdict_of_error(&error);
        let exhausted = Exhausted::find(&*error);
        let response = error_response(&error);
        Self {
            status: response.status(),
            class: verdict.class(),
            code: Some(verdict.class().as_str().to_owned()),
            message: error.to_string(),
            retry_in: exhausted.map_or(verdict.hint(), Exhausted::retry_in),
            trail: exhausted.map(|it| it.trail().clone()).unwrap_or_default(),
            source: Some(error),
        }
    }

    /// Creates the error of an event within a stream.
    pub(crate) fn of_event(data: &Value, trail: &Trail) -> Self {
        let (code, message) = fields(data);
        Self {
            code,
            ..Self::new(
                StatusCode::BAD_GATEWAY,
                Class::ServerError,
                message.unwrap_or_else(|| "no message".to_owned()),
            )
        }
        .with_trail(trail)
    }

    /// Adds the attempts of the request, unless the error has some.
    pub(crate) fn with_trail(mut self, trail: &Trail) -> Self {
        if self.trail.is_empty() {
            self.trail = trail.clone();
        }
        self
    }

    /// Returns the status of the response. Without a response, the status of a gateway in the same
    /// situation: 429, 502, 503, 504 and others.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the class of the failure.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Returns the code of the provider, such as `insufficient_quota`. Without a response, the
    /// class.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the message of the provider, or the reason of each endpoint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the time after which a retry can help, if it is known.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// Returns the attempts, each with its endpoint and its outcome.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}

/// Prints `429 rate_limit_exceeded: slow down (tried primary: rate_limited (429)) (retry in 2 s)`.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(code) = &self.code {
            write!(f, " {}", code.escape_debug())?;
        }
        // Escaped, since messages are written to logs.
        write!(f, ": {}", self.message.escape_debug())?;
        let is_named = self
            .source
            .as_ref()
            .is_some_and(|error| Exhausted::find(&**error).is_some());
        if !is_named && !self.trail.is_empty() {
            write!(f, " (tried {})", self.trail)?;
        }
        match self.retry_in {
            Some(wait) if !is_named => write!(f, " (retry in {} s)", wait.as_secs_f64().ceil()),
            _ => Ok(()),
        }
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// Reads the code and the message of an error body.
fn read(body: &[u8]) -> (Option<String>, Option<String>) {
    match serde_json::from_slice::<Value>(body) {
        // Gemini without events answers with an array.
        Ok(Value::Array(items)) => items.first().map(fields).unwrap_or_default(),
        Ok(value) => fields(&value),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            (None, Some(cut(text.trim())).filter(|text| !text.is_empty()))
        }
    }
}

fn fields(value: &Value) -> (Option<String>, Option<String>) {
    let error = match &value["error"] {
        Value::Object(_) => &value["error"],
        Value::String(message) => return (None, Some(cut(message))),
        _ => value,
    };
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(cut(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let names = ["code", "type", "status"];
    // Gemini repeats the status as a numeric code, and its name stands in `status`.
    let named = names
        .iter()
        .find_map(|name| error[*name].as_str().and_then(|it| text(&it.into())));
    let code = named.or_else(|| text(&error["code"]));
    let message = text(&error["message"]).or_else(|| text(&error["detail"]));
    (code, message)
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_of_each_provider_are_read() {
        for (body, code, message) in [
            (
                r#"{"error":{"message":"m","type":"t","code":"c"}}"#,
                Some("c"),
                Some("m"),
            ),
            (
                r#"{"error":{"message":"m","type":"t","code":null}}"#,
                Some("t"),
                Some("m"),
            ),
            (
                r#"{"type":"error","error":{"type":"t","message":"m"}}"#,
                Some("t"),
                Some("m"),
            ),
            (
                r#"{"error":{"code":429,"message":"m","status":"S"}}"#,
                Some("S"),
                Some("m"),
            ),
            (
                r#"[{"error":{"code":429,"message":"m","status":"S"}}]"#,
                Some("S"),
                Some("m"),
            ),
            (
                r#"{"error":{"code":429,"message":"m"}}"#,
                Some("429"),
                Some("m"),
            ),
            (
                r#"{"object":"error","message":"m","code":"1300"}"#,
                Some("1300"),
                Some("m"),
            ),
            (r#"{"detail":"m"}"#, None, Some("m")),
            (r#"{"error":"m"}"#, None, Some("m")),
            ("<html>m</html>\n", None, Some("<html>m</html>")),
            ("", None, None),
            ("[]", None, None),
        ] {
            let (found_code, found_message) = read(body.as_bytes());
            let found = (found_code.as_deref(), found_message.as_deref());
            assert_eq!(found, (code, message), "{body}");
        }
    }

    /// A server chooses the text. It must neither fill a log nor break its lines.
    #[test]
    fn text_of_server_is_cut_and_escaped() {
        let body = format!("a\nb{}", "c".repeat(100_000));
        let (_, message) = read(body.as_bytes());
        let error = ApiError::new(StatusCode::OK, Class::ServerError, message.expect("a text"));
        let shown = error.to_string();
        assert!(shown.contains(r"a\nb") && shown.len() < 1100, "{shown}");
    }
}
