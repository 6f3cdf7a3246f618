//! A body of several pieces.
//!
//! It ends with its last piece. Its length is known, so a client sends `content-length`.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body of several pieces, which share the memory of the body that they were cut from.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The pieces that were not sent yet.
    rest: std::vec::IntoIter<Bytes>,
    /// The number of their bytes.
    len: u64,
}

impl Pieces {
    /// Puts `new` in the places of `data`, which are in order. All other bytes are shared.
    pub(crate) fn replace(data: &Bytes, places: &[Range<usize>], new: &Bytes) -> Self {
        let mut pieces = Vec::with_capacity(2 * places.len() + 1);
        let mut from = 0;
        for place in places {
            pieces.push(data.slice(from..place.start));
            pieces.push(new.clone());
            from = place.end;
        }
        pieces.push(data.slice(from..));
        pieces.retain(|piece| !piece.is_empty());
        Self {
            len: pieces.iter().map(|piece| piece.len() as u64).sum(),
            rest: pieces.into_iter(),
        }
    }

    /// Returns the number of bytes that are left.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.rest.next();
        self.len -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.len == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::json;
    use http_body_util::BodyExt;
    use proptest::prelude::*;
    use serde_json::Value;

    fn whole(pieces: Pieces) -> Vec<u8> {
        let len = pieces.len();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let body = runtime
            .block_on(pieces.collect())
            .expect("infallible")
            .to_bytes();
        assert_eq!(body.len() as u64, len);
        body.into()
    }

    /// A body of 5 MiB must not be copied for a name of 20 bytes.
    #[test]
    fn other_bytes_share_the_memory_of_the_body() {
        let body = format!(
            "{{\"x\":\"{}\",\"model\":\"a\"}}",
            "y".repeat(5 * 1024 * 1024)
        );
        let data = Bytes::from(body);
        let (_, places) = json::models(&data).expect("a model");
        let new = Bytes::from_static(b"\"b\"");
        let mut pieces = Pieces::replace(&data, &places, &new).rest;
        let first = pieces.next().expect("a piece");
        assert_eq!(
            (first.as_ptr(), first.len()),
            (data.as_ptr(), places[0].start)
        );
        assert_eq!(pieces.next().expect("a piece").as_ptr(), new.as_ptr());
        assert_eq!(
            pieces.next().expect("a piece").as_ptr(),
            data[places[0].end..].as_ptr()
        );
        assert!(pieces.next().is_none());
    }

    /// Returns an object with `model` at any level, escapes, equal fields, and white space
    /// anywhere.
    fn object() -> impl Strategy<Value = String> {
        let space = "[ \n\t\r]{0,2}";
        let name = prop_oneof![
            Just("\"model\"".to_owned()),
            Just("\"mo\\u0064el\"".to_owned()),
            Just("\"messages\"".to_owned()),
            "\"[a-z\u{e9}]{0,6}\"",
        ];
        let text =
            "\"([ -!#-\\[\\]-~\u{e9}\u{1f980}]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][0-9a-f]){0,12}\"";
        let leaf = prop_oneof![text, "-?[1-9][0-9]{0,3}(\\.[0-9]{1,2})?", "true|false|null"];
        let pair = move |value: BoxedStrategy<String>| {
            (space, name.clone(), space, value, space)
                .prop_map(|(a, name, b, value, c)| format!("{a}{name}{b}:{c}{value}"))
        };
        let value = leaf.clone().prop_recursive(3, 16, 4, {
            let pair = pair.clone();
            move |inner| {
                let inner = inner.boxed();
                prop_oneof![
                    prop::collection::vec(pair(inner.clone()), 0..4)
                        .prop_map(|all| format!("{{{}}}", all.join(","))),
                    prop::collection::vec(inner, 0..4)
                        .prop_map(|all| format!("[{}]", all.join(" , "))),
                ]
            }
        });
        prop::collection::vec(pair(value.boxed()), 0..6)
            .prop_map(|all| format!(" {{{} }}\n", all.join(",")))
    }

    proptest! {
        /// All bytes outside of the values of `model` at the top level stay as they are.
        #[test]
        fn rewrite_changes_only_the_model(body in object(), new in "[a-z\"\\\\/\u{e9}]{1,12}") {
            let data = Bytes::from(body.clone());
            let Some((_, places)) = json::models(&data) else {
                return Ok(());
            };
            let text = Bytes::from(Value::from(new.clone()).to_string());
            let after = whole(Pieces::replace(&data, &places, &text));
            // The rewritten body without its new values equals the old one without its old values.
            let (mut old_rest, mut new_rest, mut from, mut at) = (Vec::new(), Vec::new(), 0, 0);
            for place in &places {
                old_rest.extend_from_slice(&data[from..place.start]);
                new_rest.extend_from_slice(&after[at..at + place.start - from]);
                at += place.start - from;
                prop_assert_eq!(&after[at..at + text.len()], &text[..]);
                (from, at) = (place.end, at + text.len());
            }
            old_rest.extend_from_slice(&data[from..]);
            new_rest.extend_from_slice(&after[at..]);
            prop_assert_eq!(old_rest, new_rest);
            // An independent parser agrees, and reads the last of equal fields.
            let before: Value = serde_json::from_str(&body).expect("valid JSON");
            let mut expected = before;
            if expected["model"].is_string() {
                expected["model"] = new.into();
                let after: Value = serde_json::from_slice(&after).expect("valid JSON");
                prop_assert_eq!(after, expected);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            body in object(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut body = body.into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            if let Some((name, places)) = json::models(&body) {
                let raw = &body[places.last().expect("a place").clone()];
                prop_assert_eq!(serde_json::from_slice::<String>(raw).expect("a string"), name);
            }
        }
    }
}
