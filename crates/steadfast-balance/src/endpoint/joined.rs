//! Texts of an endpoint that go into every request.

use bytes::Bytes;

/// Copies texts to one buffer with one reference count.
///
/// Each further cache line that threads write costs as much as the first.
pub(crate) fn joined(texts: &[&[u8]]) -> Vec<Bytes> {
    let mut all = Bytes::from_owner(texts.concat());
    texts.iter().map(|text| all.split_to(text.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_texts_are_equal() {
        let texts: [&[u8]; 3] = [b"a.test:81", b"", b"Bearer sk"];
        assert_eq!(joined(&texts), texts);
    }
}
