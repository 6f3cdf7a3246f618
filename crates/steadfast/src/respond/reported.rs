//! A mark on an error that the reader of a stream has got as an event.

use std::error::Error;
use std::fmt;

use steadfast_core::{BoxError, find_error};

/// The error of a body, of which an event has informed the reader. Its text is the one of the
/// error.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) BoxError);

impl Reported {
    /// Returns whether an error, or one of its sources, has the mark.
    pub(crate) fn marks(error: &BoxError) -> bool {
        find_error::<Self>(&**error).is_some()
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Reported {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
