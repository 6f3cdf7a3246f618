use std::error::Error;
use std::fmt;

use super::value::Verdict;
use crate::BoxError;
use crate::chain::find_error;

/// An error together with its verdict.
///
/// Only the layer next to the client can distinguish a failed connect from a lost connection. It
/// wraps the error in this type for all layers above.
#[derive(Debug)]
pub struct Classified {
    verdict: Verdict,
    source: BoxError,
}

impl Classified {
    /// Wraps `source`.
    pub fn new(verdict: Verdict, source: impl Into<BoxError>) -> Self {
        Self {
            verdict,
            source: source.into(),
        }
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
        write!(f, "attempt failed: {}", self.verdict.class())
    }
}

impl Error for Classified {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
