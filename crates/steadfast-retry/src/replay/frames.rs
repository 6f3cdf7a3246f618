//! Arithmetic of frames and sizes.

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// Smaller frames are copied into one chunk: each may keep a whole read buffer alive, and millions
/// of frames use more memory than their bytes.
pub(super) const SMALL: usize = 1024;
/// The size of a chunk of small frames.
pub(super) const CHUNK: usize = 16 * 1024;

/// Converts the data of a frame to [`Bytes`]. Data that is `Bytes` already is not copied.
pub(super) fn into_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

/// Returns the size of the data of a frame, 0 for trailers.
pub(super) fn data_len(frame: Option<&Frame<Bytes>>) -> u64 {
    let data = frame.and_then(Frame::data_ref);
    data.map_or(0, |data| data.len() as u64)
}

/// Returns the size hint of a body after `sent` bytes. Some bodies return the same hint throughout,
/// so the hint of the body itself cannot be used.
pub(super) fn rest_of(whole: &SizeHint, sent: u64) -> SizeHint {
    let mut rest = SizeHint::new();
    rest.set_lower(whole.lower().saturating_sub(sent));
    if let Some(upper) = whole.upper() {
        rest.set_upper(upper.saturating_sub(sent));
    }
    rest
}
