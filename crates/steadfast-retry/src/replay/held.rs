//! A body in memory: one piece of data, and trailers.

use std::mem;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

/// A whole body in memory. Sending it empties this copy, and no other copy.
#[derive(Clone, Default)]
pub(super) struct Held {
    /// The data that is left. Copies share it.
    pub(super) data: Bytes,
    /// The trailers that are left.
    trailers: Option<Box<HeaderMap>>,
}

impl Held {
    /// Holds data without trailers.
    pub(super) fn new(data: Bytes) -> Self {
        Self {
            data,
            trailers: None,
        }
    }

    /// Joins the frames of a body.
    pub(super) fn join(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Self {
        let mut trailers = None;
        let mut chunks = frames
            .into_iter()
            .filter_map(|frame| match frame.into_data() {
                Ok(data) => Some(data),
                Err(frame) => {
                    trailers = frame.into_trailers().ok().map(Box::new);
                    None
                }
            });
        let first = chunks.next().unwrap_or_default();
        let data = match chunks.next() {
            None => first,
            Some(second) => {
                let mut data = BytesMut::from(first);
                data.extend_from_slice(&second);
                chunks.for_each(|chunk| data.extend_from_slice(&chunk));
                data.freeze()
            }
        };
        Self { data, trailers }
    }

    /// Removes and returns the next frame.
    pub(super) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if self.data.is_empty() {
            let trailers = self.trailers.take();
            return trailers.map(|trailers| Frame::trailers(*trailers));
        }
        Some(Frame::data(mem::take(&mut self.data)))
    }

    /// Returns whether all frames were removed.
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}
