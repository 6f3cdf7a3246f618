//! The recorded frames of a body.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::frames::{CHUNK, SMALL};

/// The part of a body that was sent.
#[derive(Default)]
pub(super) struct Record {
    /// The data, in the pieces of the caller if they are large.
    chunks: Vec<Bytes>,
    /// Follows the chunks.
    tail: BytesMut,
    /// The bytes of all chunks.
    pub(super) size: u64,
    /// The trailers, after the data.
    pub(super) trailers: Option<HeaderMap>,
}

/// The position of a reader in a record.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Position {
    /// The index of the chunk.
    chunk: usize,
    /// The offset in the chunk, in bytes.
    offset: usize,
}

impl Record {
    /// Appends a copy of a frame. Small pieces are joined.
    pub(super) fn push(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        let Some(data) = frame.data_ref() else {
            return;
        };
        self.size += data.len() as u64;
        if data.len() < SMALL {
            self.tail.extend_from_slice(data);
            if self.tail.len() >= CHUNK {
                self.seal();
            }
        } else {
            self.seal();
            self.chunks.push(data.clone());
        }
    }

    /// Makes a chunk of the tail. Positions in the tail stay valid in the chunk.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(self.tail.split().freeze());
        }
    }

    /// Returns the next data and advances the position.
    pub(super) fn read(&self, position: &mut Position) -> Option<Bytes> {
        while let Some(data) = self.chunks.get(position.chunk) {
            let rest = data.slice(position.offset..);
            *position = Position {
                chunk: position.chunk + 1,
                offset: 0,
            };
            if !rest.is_empty() {
                return Some(rest);
            }
        }
        let rest = self.tail.get(position.offset..).unwrap_or_default();
        position.offset += rest.len();
        (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest))
    }

    /// Returns the position after all data.
    pub(super) fn end(&self) -> Position {
        Position {
            chunk: self.chunks.len(),
            offset: self.tail.len(),
        }
    }
}
