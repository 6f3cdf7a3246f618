//! A scan of JSON that builds no tree.
//!
//! A caller chooses the body, and a tree of a body needs up to forty times its size. A body of
//! 31 MB with `{"stream":[1,1,…]}` took 1.1 GB, and held up other requests for 3 s.
//!
//! The fields of a request that decide about it are flags at the top level. Each other value is
//! skipped without a copy.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field of a body that accepts every type, because only the endpoint checks the types of a
/// request. An unusual value is skipped, so that it does not hide the other fields.
pub(crate) trait Lenient: Default {
    /// Reads a string.
    fn of_str(_: &str) -> Self {
        Self::of_other()
    }

    /// Reads a flag.
    fn of_bool(_: bool) -> Self {
        Self::of_other()
    }

    /// Reads an object.
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::of_other())
    }

    /// Returns the field for any other type. `null` leaves the default.
    fn of_other() -> Self {
        Self::default()
    }
}

/// Reads any value without an error.
pub(crate) fn lenient<'de, F: Lenient, D: Deserializer<'de>>(from: D) -> Result<F, D::Error> {
    from.deserialize_any(LenientVisitor(PhantomData))
}

struct LenientVisitor<F>(PhantomData<F>);

impl<'de, F: Lenient> Visitor<'de> for LenientVisitor<F> {
    type Value = F;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<F, E> {
        Ok(F::of_bool(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<F, E> {
        Ok(F::of_str(value))
    }

    fn visit_unit<E>(self) -> Result<F, E> {
        Ok(F::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<F, E> {
        Ok(F::of_other())
    }

    fn visit_u64<E>(self, _: u64) -> Result<F, E> {
        Ok(F::of_other())
    }

    fn visit_f64<E>(self, _: f64) -> Result<F, E> {
        Ok(F::of_other())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<F, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(F::of_other())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<F, A::Error> {
        F::of_map(map)
    }
}

/// A field that is `true`, `false`, or of another type, which leaves the flag unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl Lenient for Flag {
    fn of_bool(value: bool) -> Self {
        Self(Some(value))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lenient(deserializer)
    }
}

/// Returns whether arrays and objects are nested deeper than `max`.
///
/// `serde_json` does not limit the depth of a value that it skips, and keeps a byte for each level.
///
/// Brackets in strings do not count. The text need not be valid JSON: an excess of closing brackets
/// counts as depth zero.
pub(crate) fn is_deeper_than(json: &[u8], max: usize) -> bool {
    // Few brackets cannot nest deeply. The count uses vectors, and most bodies have few. Both
    // opening brackets differ in this bit only.
    if json.iter().filter(|&&byte| byte | 0x20 == b'{').count() <= max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_open_brackets_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_deeper_than(nested(128).as_bytes(), 128));
        assert!(is_deeper_than(nested(129).as_bytes(), 128));
        for text in [
            r#"{"a":"[[[["}"#,
            r#"{"a\"[[[[":1}"#,
            r#"["\\",[],[],[]]"#,
            "]]]][[",
        ] {
            assert!(!is_deeper_than(text.as_bytes(), 2), "{text}");
        }
        assert!(is_deeper_than(r#"["\\",[[[]]]]"#.as_bytes(), 2));
    }
}
