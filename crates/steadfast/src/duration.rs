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
        Err(error) => Err(D::Error::custom(format_args!(
            "{text:?} is no duration such as \"500ms\", \"30s\" or \"10m\": {error}"
        ))),
    }
}
