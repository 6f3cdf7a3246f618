//! The decoders of compressed bodies, with a bound for the text of each.

use std::io::Read;

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

use super::undecoded::Undecoded;

/// The buffer of a brotli decoder.
const BUFFER: usize = 4096;

/// Decodes `body` to the end of `text`, up to `max` bytes.
///
/// The text of a broken body is kept as far as it goes: an error body may have been read in part.
pub(crate) fn decode_one(
    name: &str,
    body: &[u8],
    max: usize,
    text: &mut Vec<u8>,
) -> Result<(), Undecoded> {
    match name {
        "identity" => read(body, max, text),
        "gzip" | "x-gzip" => read(MultiGzDecoder::new(body), max, text),
        // The standard demands a zlib header. Some servers omit it.
        "deflate" if is_zlib(body) => read(ZlibDecoder::new(body), max, text),
        "deflate" => read(DeflateDecoder::new(body), max, text),
        "br" => read(Decompressor::new(body, BUFFER), max, text),
        "zstd" => {
            if zstd_window(body).is_none_or(|window| window > max as u64) {
                return Err(Undecoded::TooLong);
            }
            let decoder = StreamingDecoder::new(body).map_err(|_| Undecoded::Broken)?;
            read(decoder, max, text)
        }
        _ => Err(Undecoded::Unknown),
    }
}

/// Reads a decoder to its end.
fn read(decoder: impl Read, max: usize, text: &mut Vec<u8>) -> Result<(), Undecoded> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    match decoder.take(limit.saturating_add(1)).read_to_end(text) {
        Ok(read) if read > max => {
            text.truncate(max);
            Err(Undecoded::TooLong)
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Undecoded::Broken),
    }
}

/// Returns whether the body begins with a zlib header.
fn is_zlib(body: &[u8]) -> bool {
    let Some(&[first, second]) = body.first_chunk() else {
        return false;
    };
    first & 0x0f == 8 && u16::from_be_bytes([first, second]) % 31 == 0
}

/// Returns the memory that the first frame of a zstd body requests (RFC 8878, 3.1.1). A decoder may
/// reserve it at once.
fn zstd_window(body: &[u8]) -> Option<u64> {
    let descriptor = *body.get(4)?;
    let is_single = descriptor & 0x20 != 0;
    if !is_single {
        let window = *body.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let size = body.get(5 + dictionary..5 + dictionary + length)?;
    let mut bytes = [0; 8];
    bytes[..length].copy_from_slice(size);
    let offset = if length == 2 { 256 } else { 0 };
    u64::from_le_bytes(bytes).checked_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{Decoded, Encoding, MAX_DECODED};
    use flate2::Compression;
    use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::header::CONTENT_ENCODING;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn decoded<'a>(name: &'static str, body: &'a [u8]) -> Decoded<Cow<'a, [u8]>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        Encoding::decode(Encoding::of(&headers).as_ref(), body, MAX_DECODED)
    }

    fn all(mut encoder: impl Read) -> Vec<u8> {
        let mut bytes = Vec::new();
        encoder.read_to_end(&mut bytes).expect("an encoded text");
        bytes
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        all(GzEncoder::new(text, Compression::default()))
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// `{"a":1}` by the reference encoder.
    const BROTLI: &[u8] = &[
        0x0b, 0x03, 0x80, 0x7b, 0x22, 0x61, 0x22, 0x3a, 0x31, 0x7d, 0x03,
    ];

    const TEXT: &[u8] = br#"{"a":1}"#;

    #[test]
    fn each_encoding_is_decoded() {
        let fast = Compression::fast();
        for (name, body) in [
            ("identity", TEXT.to_vec()),
            ("gzip", gzip(TEXT)),
            ("X-GZIP", gzip(TEXT)),
            ("deflate", all(ZlibEncoder::new(TEXT, fast))),
            ("deflate", all(DeflateEncoder::new(TEXT, fast))),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd(TEXT)),
            ("zstd, gzip", gzip(&zstd(TEXT))),
        ] {
            let (text, outcome) = decoded(name, &body);
            assert_eq!((&*text, outcome), (TEXT, Ok(())), "{name}");
        }
        let (_, outcome) = decoded("snappy", TEXT);
        assert_eq!(outcome, Err(Undecoded::Unknown));
    }

    #[test]
    fn bomb_is_cut_at_the_bound() {
        let zeros = vec![0; 4 * MAX_DECODED];
        for (name, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
            assert!(bomb.len() < zeros.len() / 100);
            let (text, outcome) = decoded(name, &bomb);
            assert_eq!(outcome, Err(Undecoded::TooLong), "{name}");
            assert!(text.len() <= MAX_DECODED);
        }
    }

    /// A frame of a few bytes must not reserve gigabytes.
    #[test]
    fn zstd_window_beyond_the_bound_is_rejected() {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        let frame = |rest: &[u8]| [&magic[..], rest].concat();
        assert_eq!(zstd_window(&frame(&[0x00, 0x00])), Some(1024));
        assert_eq!(zstd_window(&frame(&[0x00, 0x58])), Some(1 << 21));
        assert_eq!(zstd_window(&frame(&[0x20, 7])), Some(7));
        assert_eq!(zstd_window(&frame(&[0x60, 1, 0])), Some(257));
        for rest in [
            &[0x00, 0xff][..],
            &[0xe0, 0, 0, 0, 0, 1, 0, 0, 0],
            &[0x00],
            &[],
        ] {
            let mut text = Vec::new();
            let outcome = decode_one("zstd", &frame(rest), MAX_DECODED, &mut text);
            assert_eq!(outcome, Err(Undecoded::TooLong), "{rest:?}");
        }
    }

    #[test]
    fn part_of_a_cut_body_is_returned() {
        let text = br#"{"error":{"code":"insufficient_quota","message":"pay"}}"#.repeat(50);
        let body = gzip(&text);
        let (part, outcome) = decoded("gzip", &body[..body.len() - 9]);
        assert_eq!(outcome, Err(Undecoded::Broken));
        assert!(text.starts_with(&part) && !part.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_body_does_not_panic(
            body in prop::collection::vec(any::<u8>(), 0..60),
            name in prop::sample::select(vec!["gzip", "deflate", "br", "zstd"]),
        ) {
            let zstd_frame = [&[0x28, 0xb5, 0x2f, 0xfd][..], &body].concat();
            for body in [body, zstd_frame] {
                let _ = decode_one(name, &body, 1000, &mut Vec::new());
            }
        }
    }
}
