//! The encoding of a body, such as gzip.
//!
//! A stack requests no encoded answers. Some servers and proxies send them nevertheless, and some
//! clients encode their requests. Such bodies pass as they are. Their text is decoded for the
//! inspection.

#[cfg(feature = "decode")]
mod decoder;
#[cfg(not(feature = "decode"))]
#[path = "no_decoder.rs"]
mod decoder;
mod undecoded;

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::decoder::decode_one;
pub(crate) use self::undecoded::Undecoded;

/// The largest text that is decoded. A body of a few kilobytes may stand for gigabytes.
pub(crate) const MAX_DECODED: usize = 8 * 1024 * 1024;

/// The encodings of one body. No server applies more.
const MAX_LAYERS: usize = 2;

/// The decoders that run at once, so that hostile bodies cannot use all memory and all threads.
static DECODERS: Semaphore = Semaphore::const_new(8);

/// The encoding of a body that has one.
#[derive(Clone, Debug)]
pub(crate) struct Encoding(HeaderValue);

/// A text, as far as it could be decoded, and whether it is whole.
pub(crate) type Decoded<T> = (T, Result<(), Undecoded>);

impl Encoding {
    /// Returns the encoding of a body, unless it has none.
    ///
    /// The cost for a body without an encoding is the search for one header.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let first = headers.get(CONTENT_ENCODING)?;
        let mut all = headers.get_all(CONTENT_ENCODING).iter();
        if all.nth(1).is_some() {
            // Some readers take the first one, and some the last one.
            return Some(Self(HeaderValue::from_static("several")));
        }
        let is_encoded = !first.as_bytes().eq_ignore_ascii_case(b"identity");
        is_encoded.then(|| Self(first.clone()))
    }

    /// Returns the text of a body, up to `max` bytes. A body without an encoding is its own text.
    ///
    /// Of a body that is cut, the text goes as far as it could be decoded. An unknown encoding
    /// leaves the body as it is.
    pub(crate) fn decode<'a>(
        encoding: Option<&Self>,
        body: &'a [u8],
        max: usize,
    ) -> Decoded<Cow<'a, [u8]>> {
        let mut text = Cow::Borrowed(body);
        let names = encoding.map_or(Ok(""), |encoding| encoding.0.to_str());
        let names = names.unwrap_or("unreadable").split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty());
        // The encoding that was applied last comes last.
        for (layer, name) in names.rev().enumerate() {
            if layer == MAX_LAYERS {
                return (Cow::default(), Err(Undecoded::Unknown));
            }
            let mut inner = Vec::new();
            let outcome = decode_one(&name.to_ascii_lowercase(), &text, max, &mut inner);
            if outcome == Err(Undecoded::Unknown) {
                return (text, outcome);
            }
            text = Cow::Owned(inner);
            if outcome.is_err() {
                return (text, outcome);
            }
        }
        (text, Ok(()))
    }

    /// Decodes a body on a thread for blocking work, like [`decode`](Self::decode).
    ///
    /// If the future is dropped, the decoder ends in the background.
    pub(crate) async fn decode_apart(
        self,
        body: impl AsRef<[u8]> + Send + 'static,
    ) -> Decoded<Vec<u8>> {
        if !cfg!(feature = "decode") || Handle::try_current().is_err() {
            return self.decode_here(body.as_ref());
        }
        let permit = DECODERS.acquire().await.expect("it is never closed");
        let decoding = spawn_blocking(move || {
            let _permit = permit;
            self.decode_here(body.as_ref())
        });
        // A runtime that shuts down passes nothing on.
        decoding
            .await
            .unwrap_or((Vec::new(), Err(Undecoded::Unknown)))
    }

    /// Decodes a body on this thread, up to the largest bound.
    fn decode_here(&self, body: &[u8]) -> Decoded<Vec<u8>> {
        let (text, outcome) = Self::decode(Some(self), body, MAX_DECODED);
        (text.into_owned(), outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_read_from_a_single_header() {
        let encoding = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Encoding::of(&headers).map(|encoding| encoding.0)
        };
        assert_eq!(encoding(&[]), None);
        assert_eq!(encoding(&["Identity"]), None);
        assert_eq!(encoding(&["gzip"]).expect("one"), "gzip");
        assert_eq!(encoding(&["identity", "gzip"]).expect("several"), "several");
    }

    #[test]
    fn unknown_encoding_leaves_the_body() {
        for name in ["snappy", "several", "gzip, snappy"] {
            let encoding = Encoding(HeaderValue::from_static(name));
            let (text, outcome) = Encoding::decode(Some(&encoding), b"{}", 10);
            assert_eq!(
                (&*text, outcome),
                (&b"{}"[..], Err(Undecoded::Unknown)),
                "{name}"
            );
        }
        let many = Encoding(HeaderValue::from_static("identity, identity, identity"));
        let (_, outcome) = Encoding::decode(Some(&many), b"{}", 10);
        assert_eq!(outcome, Err(Undecoded::Unknown));
    }
}
