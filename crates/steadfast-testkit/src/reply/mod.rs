//! Replies: content, timing and faults.

mod body;
mod plan;
mod stream;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub(crate) use self::body::{ReplyBody, Settle};
pub(crate) use self::plan::Plan;
pub(crate) use self::stream::Stream;
use crate::dialect::Dialect;
use crate::hint::Hint;

/// Describes one answer of an upstream: its content, its timing and its fault.
///
/// [`Reply::ok`] answers as the API would, in one piece or as a stream, whichever the request asks
/// for. The other constructors name a failure; the setters add delays and, for streams, faults.
/// Only the last fault set counts.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use steadfast_testkit::{Hint, Reply};
///
/// let refuse = Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(2)));
/// let slow = Reply::ok().latency(Duration::from_millis(300));
/// let broken = Reply::ok().chunks(5).cut_after(2);
/// let gone = Reply::reset();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a reply does nothing until an upstream has it"]
pub struct Reply {
    pub(crate) answer: Answer,
    pub(crate) latency: Duration,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) stream: Stream,
}

/// The content of a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Ok,
    QuotaSpent(Dialect),
    RateLimited(Hint),
    Reset,
    Silence,
    Status(StatusCode),
}

impl Reply {
    /// Creates the normal answer to whatever is asked.
    pub fn ok() -> Self {
        Self::new(Answer::Ok)
    }

    /// Creates an answer with `status` and the error body that fits it. A 404 is an unknown model.
    ///
    /// # Panics
    ///
    /// If `status` is not from 200 to 999.
    #[track_caller]
    pub fn status(status: u16) -> Self {
        assert!(status >= 200, "an answer cannot have the status {status}");
        let status = StatusCode::from_u16(status).expect("a status has three digits");
        Self::new(Answer::Status(status))
    }

    /// Creates an answer of exactly `status`, `headers` and `body`.
    ///
    /// # Panics
    ///
    /// If `status` is not from 200 to 999, or a header is malformed.
    #[track_caller]
    pub fn raw<'a>(
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        body: impl Into<Bytes>,
    ) -> Self {
        let mut reply = Self::status(status).body(body);
        for (name, value) in headers {
            reply = reply.header(name, value);
        }
        reply
    }

    /// Creates a 429 with `hint`, in the words of the provider that sends such hints.
    pub fn rate_limited(hint: Hint) -> Self {
        Self::new(Answer::RateLimited(hint))
    }

    /// Creates the answer for a spent quota or spent credit.
    ///
    /// It has no hint. With most providers it is a 429, which differs only by its body.
    pub fn quota_spent(dialect: Dialect) -> Self {
        Self::new(Answer::QuotaSpent(dialect))
    }

    /// Creates no answer: the connection is reset, with all that goes on in it.
    pub fn reset() -> Self {
        Self::new(Answer::Reset)
    }

    /// Creates no answer: the request is read, and then nothing happens.
    pub fn silence() -> Self {
        Self::new(Answer::Silence)
    }

    /// Sets how long the upstream waits before the head, or before the reset.
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Sets a header, in place of the one that the reply would have.
    ///
    /// Called again with the same name, it adds a second value.
    ///
    /// # Panics
    ///
    /// If the name or the value is malformed.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = parse("header name", name);
        let value: HeaderValue = parse("header value", value);
        self.headers.append(name, value);
        self
    }

    /// Sets the whole body, in place of the one that the reply would have. The reply then applies
    /// to every path.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self {
            body: Some(body.into()),
            ..self
        }
    }

    /// Sets the provider format of the answer. The reply then applies to every path.
    pub fn dialect(self, dialect: Dialect) -> Self {
        Self {
            dialect: Some(dialect),
            ..self
        }
    }

    fn new(answer: Answer) -> Self {
        Self {
            answer,
            latency: Duration::ZERO,
            headers: HeaderMap::new(),
            body: None,
            dialect: None,
            stream: Stream::default(),
        }
    }
}

/// Parses a part of a head, and panics if it is malformed.
#[track_caller]
fn parse<T: TryFrom<String, Error: Debug>>(what: &str, text: &str) -> T {
    match T::try_from(text.to_owned()) {
        Ok(value) => value,
        Err(error) => panic!("{text:?} is no {what}: {error:?}"),
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::ok()
    }
}
