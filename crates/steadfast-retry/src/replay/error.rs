//! The error of an attempt that a later attempt has superseded.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use steadfast_core::BoxError;

/// A later attempt of the request sends the body now, so this attempt cannot go on.
///
/// The error reaches the client of an abandoned attempt as an error of its request body. The client
/// then closes the connection (HTTP/1) or the stream (HTTP/2). The caller never gets this error.
#[derive(Debug)]
pub struct BodySuperseded(());

/// The body of the caller broke. Its error is the source for each attempt.
#[derive(Clone, Debug)]
pub(super) struct BodyBroken {
    source: Arc<dyn Error + Send + Sync>,
    /// Whether an earlier attempt has read the error.
    earlier: bool,
}

impl BodySuperseded {
    /// Creates the error.
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl BodyBroken {
    /// Creates the error of the attempt that reads the body's own error.
    pub(super) fn new(source: BoxError) -> Self {
        Self {
            source: source.into(),
            earlier: false,
        }
    }

    /// Returns the error of a later attempt.
    pub(super) fn later(&self) -> Self {
        Self {
            earlier: true,
            ..self.clone()
        }
    }
}

impl fmt::Display for BodySuperseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another attempt of the request sends the body now")
    }
}

impl fmt::Display for BodyBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.earlier {
            true => "the request body broke while another attempt sent it",
            false => "the request body broke",
        })
    }
}

impl Error for BodySuperseded {}

impl Error for BodyBroken {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
