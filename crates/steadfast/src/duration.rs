//! Durations such as `500ms`, `30s` or `10m` in configuration files.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Reads a duration that is present.
pub(crate) fn deserialize_some<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(duration) => Ok(Some(duration)),
        // The text is not shown: it may be a key in the wrong field.
        Err(_) => Err(D::Error::custom(
            "must be a duration such as `500ms`, `30s` or `10m`",
        )),
    }
}
