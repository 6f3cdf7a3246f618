//! Notes on a request, for the layers below the reader of its body.
//!
//! The reader knows the operation of a request. The retry layer and the edge of each endpoint need
//! a part of that knowledge, in each attempt.
//!
//! The body has them because it reaches both.

use crate::body::RequestBody;

/// Notes on a request, in its body. Extensions would cost allocations in each attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes(u8);

impl Notes {
    /// The request is safe to repeat. The retry layer reads this note.
    pub(crate) const SAFE: Self = Self(RequestBody::SAFE);
    /// The response is to be streamed.
    pub(crate) const STREAMING: Self = Self(1 << 1);
    /// The request calls an operation of a dialect. No answer to it is informational or a redirect.
    pub(crate) const KNOWN: Self = Self(1 << 2);

    /// Returns the notes on the request with this body.
    pub(crate) fn of(body: &RequestBody) -> Self {
        Self(body.notes())
    }

    /// Adds a note.
    pub(crate) fn add(&mut self, note: Self) {
        self.0 |= note.0;
    }

    /// Returns whether a note is among these.
    pub(crate) fn has(self, note: Self) -> bool {
        self.0 & note.0 != 0
    }

    /// Writes the notes into the body of a request.
    pub(crate) fn write(self, body: RequestBody) -> RequestBody {
        body.with_notes(self.0)
    }
}
