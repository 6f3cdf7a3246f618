//! Durations such as `500ms`, `30s` or `10m` in configuration files.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Reads a duration that is present.
pub(crate) fn deserialize_some<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(Some)
}

/// Reads a list of durations that is present.
#[cfg(feature = "config")]
pub(crate) fn deserialize_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Duration>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let durations = texts.iter().map(|text| parse(text));
    durations.collect::<Result<_, _>>().map(Some)
}

fn parse<E: Error>(text: &str) -> Result<Duration, E> {
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        // The text is not shown: it may be a key in the wrong field.
        Err(_) => Err(E::custom(
            "must be a duration such as `500ms`, `30s` or `10m`",
        )),
    }
}
