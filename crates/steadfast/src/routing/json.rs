//! The places of the model in a JSON body.
//!
//! The body is read once by `serde_json`, which skips all other values without a copy. A model at a
//! deeper level, such as one in a message, is no model of the request.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::scan::is_deeper_than;

/// The deepest body that is read, as for the other fields of a request.
const MAX_DEPTH: usize = 128;

/// Returns the last `model` at the top level of an object, and the places of the first and the
/// last one.
///
/// Most parsers read the last of several equal fields, and some read the first one. So these two
/// are rewritten alike. The others stay: a caller chooses their number, and a rewrite of each would
/// need several times the memory of the body. A model of another type than a string is skipped.
pub(crate) fn models(body: &[u8]) -> Option<(String, Vec<Range<usize>>)> {
    if is_deeper_than(body, MAX_DEPTH) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = deserializer.deserialize_map(Top).ok()?;
    deserializer.end().ok()?;
    let last = serde_json::from_str(found.last()?).ok()?;
    // A raw value is a part of the text that it was read from.
    let start = |raw: &str| raw.as_ptr().addr() - body.as_ptr().addr();
    let place = |raw: &&str| start(raw)..start(raw) + raw.len();
    Some((last, found.iter().map(place).collect()))
}

/// Returns the texts of the first and the last field `model`.
struct Top;

/// Whether the name of a field is `model`, with or without escapes.
struct IsModel;

impl<'de> Visitor<'de> for Top {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(is_model) = fields.next_key_seed(IsModel)? {
            let raw: &RawValue = fields.next_value()?;
            if is_model && raw.get().starts_with('"') {
                found.truncate(1);
                found.push(raw.get());
            }
        }
        Ok(found)
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for IsModel {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsModel {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == "model")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_model_and_outer_places_are_found() {
        for (body, name, places) in [
            (r#"{"model":"a"}"#, "a", vec![r#""a""#]),
            (
                " {\n\"x\": {\"model\":\"n\"}, \"model\" :\t\"a\" }",
                "a",
                vec![r#""a""#],
            ),
            (
                r#"{"mod\u0065l":"a\u0062\/"}"#,
                "ab/",
                vec![r#""a\u0062\/""#],
            ),
            (
                r#"{"model":"a","model":"b"}"#,
                "b",
                vec![r#""a""#, r#""b""#],
            ),
            (
                r#"{"model":"a","model":"b","model":"c","model":"d"}"#,
                "d",
                vec![r#""a""#, r#""d""#],
            ),
            (r#"{"model":7,"model":"b"}"#, "b", vec![r#""b""#]),
            (r#"{"model":""}"#, "", vec![r#""""#]),
            (r#"{"é\"":["model","x"],"model":"é"}"#, "é", vec![r#""é""#]),
        ] {
            let (found, ranges) = models(body.as_bytes()).expect(body);
            let texts: Vec<_> = ranges.into_iter().map(|range| &body[range]).collect();
            assert_eq!((&*found, texts), (name, places), "{body}");
        }
    }

    #[test]
    fn body_without_model_has_none() {
        let deep = format!(
            r#"{{"model":"a","x":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        for body in [
            "",
            "[]",
            "{}",
            r#"{"model":7}"#,
            r#"{"model":"a""#,
            r#"{"model":"a"}x"#,
            &deep,
        ] {
            assert_eq!(models(body.as_bytes()), None, "{body}");
        }
        assert_eq!(models(b"{\"model\":\"a\xff\"}"), None, "no UTF-8");
    }
}
