use std::error::Error;
use std::fmt;

use super::value::Verdict;
use crate::BoxError;
use crate::layer::chain::find_error;

/// An error together with its verdict.
///
/// Only the layer next to the client can distinguish a failed connect from a lost connection. It
/// wraps the error in this type for all layers above.
#[derive(Debug)]
pub struct Classified {
    verdict: Verdict,
    reason: Option<Box<str>>,
    source: BoxError,
}

impl Classified {
    /// The maximum length of the reason, in bytes.
    pub const MAX_REASON: usize = 120;

    /// Wraps `source`.
    pub fn new(verdict: Verdict, source: impl Into<BoxError>) -> Self {
        Self {
            verdict,
            reason: None,
            source: source.into(),
        }
    }

    /// Sets a short text for rejections and the status of an endpoint, such as
    /// `no first token within 10 s`. Longer texts are cut to [`MAX_REASON`](Self::MAX_REASON)
    /// bytes.
    ///
    /// Callers and operators read the text, so it must contain no URL, no secret, and no text of a
    /// server.
    #[must_use]
    pub fn with_reason(mut self, text: &str) -> Self {
        let mut end = text.len().min(Self::MAX_REASON);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.reason = Some(text[..end].into());
        self
    }

    /// Returns the text of [`with_reason`](Self::with_reason).
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Finds this error in `error` or in one of its sources.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_error(error)
    }

    /// Returns the verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Consumes `self` and returns the wrapped error.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason().unwrap_or(self.verdict.class().as_str());
        write!(f, "attempt failed: {reason}")
    }
}

impl Error for Classified {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
