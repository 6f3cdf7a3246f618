//! Texts of an endpoint that go into every request, whatever its thread.

use bytes::Bytes;

/// Has a reference count on a cache line of its own: those that are allocated one after the other
/// share lines, and threads that send to different endpoints would wait for each other.
#[repr(align(128))]
struct Apart(Vec<u8>);

impl AsRef<[u8]> for Apart {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Copies texts to one place, where all have one reference count: each further line that threads
/// write costs as much as the first.
pub(crate) fn apart(texts: &[&[u8]]) -> Vec<Bytes> {
    let mut all = Bytes::from_owner(Apart(texts.concat()));
    texts.iter().map(|text| all.split_to(text.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_again() {
        let texts: [&[u8]; 3] = [b"a.test:81", b"", b"Bearer sk"];
        assert_eq!(apart(&texts), texts);
    }
}
