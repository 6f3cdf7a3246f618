//! Texts that go into every request, whatever its thread.

use bytes::Bytes;
use http::HeaderValue;
use http::uri::Authority;

/// Its bytes have a reference count on a cache line of its own. Those that are allocated one after
/// the other share lines, and threads that send to different endpoints wait for each other.
#[repr(align(128))]
struct Apart(Box<[u8]>);

impl AsRef<[u8]> for Apart {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn authority(authority: &Authority) -> Authority {
    Authority::from_maybe_shared(apart(authority.as_str().as_bytes())).expect("it is one")
}

pub(crate) fn header_value(value: &HeaderValue) -> HeaderValue {
    let mut apart = HeaderValue::from_maybe_shared(apart(value.as_bytes())).expect("it is one");
    apart.set_sensitive(value.is_sensitive());
    apart
}

fn apart(text: &[u8]) -> Bytes {
    Bytes::from_owner(Apart(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_one() {
        let mut value = HeaderValue::from_static("Bearer sk");
        assert!(!header_value(&value).is_sensitive());
        value.set_sensitive(true);
        assert!(header_value(&value).is_sensitive());
        assert_eq!(header_value(&value), value);
    }
}
