//! Why an endpoint takes no attempts: the last error of a cooldown, a bench or an open breaker.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use steadfast_core::{Class, Classified, find_error};

/// The last error of a cooldown, a bench or an open breaker.
///
/// `Display` prints [`error`](Self::error).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reason {
    /// The class of the outcome.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::state::serialize::text")
    )]
    pub class: Class,
    /// The status, if there was a response.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::state::serialize::status")
    )]
    pub status: Option<StatusCode>,
    /// A short text, such as `a 429`, `connection refused` or `no first token within 10 s`. It
    /// contains no URL and no text of a server.
    pub error: Cow<'static, str>,
}

/// The last failure of an endpoint that its breaker counted.
///
/// It is written after a failure and read for a rejection or the status. A healthy request does not
/// touch it.
#[derive(Debug, Default)]
pub(crate) struct LastFailure(Mutex<Option<Reason>>);

impl Reason {
    /// Creates a reason. Without a text, the status or the class is the text.
    pub(crate) fn new(
        class: Class,
        status: Option<StatusCode>,
        error: Option<Cow<'static, str>>,
    ) -> Self {
        let error = error.unwrap_or_else(|| match status {
            Some(status) => with_status(class, status),
            None => words(class).into(),
        });
        Self {
            class,
            status,
            error,
        }
    }

    /// Creates a reason without a response, with this text.
    pub(crate) fn with_text(class: Class, text: &'static str) -> Self {
        Self::new(class, None, Some(text.into()))
    }

    /// Creates the reason of an attempt that ended with an error of the client.
    pub(crate) fn of_error(class: Class, error: &(dyn Error + 'static)) -> Self {
        let text = Classified::find(error).and_then(Classified::reason);
        let text = text.map(|text| Cow::Owned(text.to_owned()));
        let text = text.or_else(|| find_error::<io::Error>(error).and_then(io_words));
        Self::new(class, None, text)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error)
    }
}

impl LastFailure {
    /// Returns the last failure, if there was one.
    pub(crate) fn get(&self) -> Option<Reason> {
        // The value is written in one step, so a poisoned value is valid.
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    /// Replaces the last failure.
    pub(crate) fn set(&self, reason: Reason) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// Returns `a 429`, or `a 429 (spent quota)` if the status alone does not imply the class.
fn with_status(class: Class, status: StatusCode) -> Cow<'static, str> {
    let number = status.as_u16();
    let is_implied = match class {
        Class::RateLimited => number == 429,
        Class::Overloaded => matches!(number, 503 | 529),
        Class::ServerError => status.is_server_error(),
        Class::Timeout => matches!(number, 504 | 524),
        _ => false,
    };
    if is_implied {
        format!("a {number}").into()
    } else {
        format!("a {number} ({})", words(class)).into()
    }
}

/// Returns the words for a class.
fn words(class: Class) -> &'static str {
    match class {
        Class::QuotaExhausted => "spent quota",
        Class::RateLimited => "rate limit",
        Class::Overloaded => "overload",
        Class::Unauthorized => "rejected credential",
        Class::ModelUnavailable => "missing model",
        Class::Timeout => "timeout",
        Class::Connect => "no connection",
        Class::Transport => "lost connection",
        Class::ServerError => "server error",
        other => other.as_str(),
    }
}

/// Returns the words for the kind of an I/O error. The message of the error may contain anything.
fn io_words(error: &io::Error) -> Option<Cow<'static, str>> {
    use io::ErrorKind as Kind;
    let is_clear = matches!(
        error.kind(),
        Kind::AddrNotAvailable
            | Kind::BrokenPipe
            | Kind::ConnectionAborted
            | Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NotConnected
            | Kind::PermissionDenied
            | Kind::TimedOut
            | Kind::UnexpectedEof
    );
    is_clear.then(|| error.kind().to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_core::{BoxError, Verdict};

    #[test]
    fn status_or_class_becomes_text() {
        for (class, status, text) in [
            (Class::RateLimited, Some(429), "a 429"),
            (Class::QuotaExhausted, Some(429), "a 429 (spent quota)"),
            (
                Class::Unauthorized,
                Some(401),
                "a 401 (rejected credential)",
            ),
            (Class::ServerError, Some(500), "a 500"),
            (Class::ServerError, Some(200), "a 200 (server error)"),
            (Class::Overloaded, Some(529), "a 529"),
            (Class::Timeout, Some(504), "a 504"),
            (Class::Timeout, None, "timeout"),
            (Class::Connect, None, "no connection"),
        ] {
            let status = status.map(|status| StatusCode::from_u16(status).expect("valid"));
            assert_eq!(Reason::new(class, status, None).to_string(), text);
        }
    }

    /// The message of an I/O error may name the path of a key or the address of an endpoint.
    #[test]
    fn message_of_client_error_is_not_part_of_text() {
        let timeout = Classified::new(Verdict::new(Class::Timeout), "https://a.test/?key=secret");
        let io = |kind| BoxError::from(io::Error::new(kind, "https://a.test/?key=secret"));
        for (class, error, text) in [
            (
                Class::Connect,
                io(io::ErrorKind::ConnectionRefused),
                "connection refused",
            ),
            (
                Class::Transport,
                io(io::ErrorKind::ConnectionReset),
                "connection reset",
            ),
            (Class::Connect, io(io::ErrorKind::Other), "no connection"),
            (
                Class::Transport,
                "https://a.test/?key=secret".into(),
                "lost connection",
            ),
            (
                Class::Timeout,
                timeout.with_reason("no first token within 10 s").into(),
                "no first token within 10 s",
            ),
        ] {
            assert_eq!(Reason::of_error(class, &*error).to_string(), text);
        }
    }

    #[test]
    fn long_reason_is_cut_at_character() {
        let error = Classified::new(Verdict::new(Class::Timeout), "late");
        let error = error.with_reason(&"ü".repeat(1_000));
        let reason = Reason::of_error(Class::Timeout, &error);
        assert_eq!(reason.error.len(), Classified::MAX_REASON);
    }
}
