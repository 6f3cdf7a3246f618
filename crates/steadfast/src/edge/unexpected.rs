//! Heads that are no answer to the request.

use std::fmt;

use http::StatusCode;
use steadfast_core::{Class, Classified, Verdict};

/// A head that the endpoint must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unexpected {
    /// A stack requests no upgrade, and a client returns no other informational head.
    Informational(StatusCode),
    /// An operation of a dialect has no redirects. A client that follows one would send the
    /// request, and its credentials, to a place that the endpoint chooses.
    Redirect(StatusCode),
}

impl Unexpected {
    /// Reads the status of an answer. `known` marks the operations of the dialects.
    pub(crate) fn of(status: StatusCode, known: bool) -> Option<Self> {
        if status.is_informational() {
            return Some(Self::Informational(status));
        }
        (known && status.is_redirection()).then_some(Self::Redirect(status))
    }

    /// Returns the error of the attempt, with the verdict of a failed endpoint.
    pub(crate) fn classified(self) -> Classified {
        let verdict = Verdict::new(Class::ServerError);
        Classified::new(verdict, self).with_reason(&self.to_string())
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Informational(status) => {
                write!(
                    f,
                    "unexpected status {}, no answer followed",
                    status.as_str()
                )
            }
            Self::Redirect(status) => {
                write!(f, "redirect {}, which is not followed", status.as_str())
            }
        }
    }
}

impl std::error::Error for Unexpected {}
