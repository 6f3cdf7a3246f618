//! Texts of an endpoint that go into every request, on any thread.

use bytes::Bytes;

/// A buffer with its reference count on a cache line of its own.
///
/// Consecutive allocations share cache lines. Threads that send to different endpoints would then
/// contend for the same line.
#[repr(align(128))]
struct Apart(Vec<u8>);

impl AsRef<[u8]> for Apart {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Copies texts to one buffer with one reference count.
///
/// Each further cache line that threads write costs as much as the first.
pub(crate) fn apart(texts: &[&[u8]]) -> Vec<Bytes> {
    let mut all = Bytes::from_owner(Apart(texts.concat()));
    texts.iter().map(|text| all.split_to(text.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apart_returns_equal_texts() {
        let texts: [&[u8]; 3] = [b"a.test:81", b"", b"Bearer sk"];
        assert_eq!(apart(&texts), texts);
    }
}
