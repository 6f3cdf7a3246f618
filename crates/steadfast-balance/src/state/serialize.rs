//! The serialization of values: durations as seconds, names as text.

use std::time::Duration;

/// Serializes a value as text.
pub(crate) fn text<T: std::fmt::Display, S: serde::Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Serializes an optional value as text.
pub(crate) fn optional_text<T: std::fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = value.as_ref().map(ToString::to_string);
    serde::Serialize::serialize(&text, serializer)
}

/// Serializes an optional duration as seconds.
pub(crate) fn optional_seconds<S: serde::Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&value.map(|wait| wait.as_secs_f64()), serializer)
}

/// Serializes a duration as seconds.
pub(crate) fn seconds<S: serde::Serializer>(
    value: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64())
}

/// Serializes an optional status as a number.
pub(crate) fn status<S: serde::Serializer>(
    value: &Option<http::StatusCode>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&value.map(|status| status.as_u16()), serializer)
}
