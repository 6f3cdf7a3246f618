//! A field of a body that names a stored object.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess};

use crate::json;
use crate::scan::{Lenient, lenient};

/// A longer text is no id. A caller chooses it.
const LONGEST: usize = 256;

/// A field that names a stored object: its id, or an object with the id. It must not hide the other
/// fields of its body, so every type is accepted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum StateId {
    /// The field is absent or null.
    #[default]
    Absent,
    /// The field has another type, or its id is too long. The request names state that is not
    /// known.
    Unknown,
    /// The id of the object, as the caller has written it.
    Id(Box<str>),
}

impl StateId {
    /// Creates the field from a string.
    pub(crate) fn new(id: &str) -> Self {
        match id.len() {
            1..=LONGEST => Self::Id(id.into()),
            _ => Self::Unknown,
        }
    }

    /// Reads a string without escapes, or `null`. Returns `None` for any other value.
    pub(crate) fn of_usual(value: &[u8]) -> Option<Self> {
        match value {
            b"null" => Some(Self::Absent),
            _ => json::plain_text(value).map(Self::new),
        }
    }

    /// Returns whether the request names an object.
    pub(crate) fn is_present(&self) -> bool {
        *self != Self::Absent
    }

    /// Returns the id, if it is known.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Id(id) => Some(id),
            _ => None,
        }
    }
}

impl Lenient for StateId {
    fn of_str(id: &str) -> Self {
        Self::new(id)
    }

    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut id = Self::Unknown;
        while let Some(key) = map.next_key::<Self>()? {
            if key.text() == Some("id") {
                id = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(id)
    }

    fn of_other() -> Self {
        Self::Unknown
    }
}

impl<'de> Deserialize<'de> for StateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lenient(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_read_from_string_or_object() {
        for (json, present, id) in [
            (r#""resp_1""#, true, Some("resp_1")),
            (r#"{"a":{"id":"x"},"id":"conv_1"}"#, true, Some("conv_1")),
            (r#"{"id":{"a":"x"}}"#, true, None),
            (r#"{}"#, true, None),
            (r#"[["a"]]"#, true, None),
            ("7", true, None),
            ("false", true, None),
            (r#""""#, true, None),
            ("null", false, None),
        ] {
            let read: StateId = serde_json::from_str(json).unwrap();
            assert_eq!((read.is_present(), read.text()), (present, id), "{json}");
        }
        let long = StateId::new(&"x".repeat(LONGEST + 1));
        assert_eq!(long, StateId::Unknown);
    }
}
