//! The error of an attempt that a later attempt has superseded.

use std::error::Error;
use std::fmt;

/// A later attempt of the request sends the body now, so this attempt cannot go on.
///
/// The error reaches the client of an abandoned attempt as an error of its request body. The client
/// then closes the connection (HTTP/1) or the stream (HTTP/2). The caller never gets this error.
#[derive(Debug)]
pub struct BodySuperseded(());

/// The body broke during an earlier attempt.
#[derive(Debug)]
pub(super) struct BodyBroken(String);

impl BodySuperseded {
    /// Creates the error.
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl BodyBroken {
    /// Creates the error from the message of the body's own error.
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for BodySuperseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another attempt of the request sends the body now")
    }
}

impl fmt::Display for BodyBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = &self.0;
        write!(
            f,
            "the request body broke while another attempt sent it: {message}"
        )
    }
}

impl Error for BodySuperseded {}

impl Error for BodyBroken {}
