//! The error of a stack as one type.

use std::error::Error;
use std::fmt;

use steadfast_core::BoxError;

/// The error of a stack that sent no response.
///
/// The message is the message of the stack. Its errors are among the sources, so
/// `Exhausted::find(&error)` finds the reasons of all endpoints.
#[derive(Debug)]
pub struct StackError {
    source: BoxError,
}

impl StackError {
    /// Wraps the error of a stack.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self {
            source: source.into(),
        }
    }

    /// Consumes `self` and returns the error of the stack.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for StackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
