//! Serde for timeouts: the name of a profile, or a table of durations.

use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::duration::deserialize_some;
use crate::timeouts::Timeouts;

/// The fields of [`Timeouts`]. A field that is absent has its default.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "deserialize_some")]
    connect: Option<Duration>,
    #[serde(deserialize_with = "deserialize_some")]
    head: Option<Duration>,
    #[serde(deserialize_with = "deserialize_some")]
    first_token: Option<Duration>,
    #[serde(deserialize_with = "deserialize_some")]
    idle: Option<Duration>,
    #[serde(deserialize_with = "deserialize_some")]
    total: Option<Duration>,
    #[serde(deserialize_with = "deserialize_some")]
    rescue_after: Option<Duration>,
    #[serde(deserialize_with = "deserialize_some")]
    deadline: Option<Duration>,
}

/// Reads a name or fields. An untagged enum could not report the field of an error.
struct NameOrFields;

impl From<Fields> for Timeouts {
    fn from(fields: Fields) -> Self {
        let default = Self::DEFAULT;
        Self {
            connect: fields.connect.unwrap_or(default.connect),
            head: fields.head.unwrap_or(default.head),
            first_token: fields.first_token.unwrap_or(default.first_token),
            idle: fields.idle.unwrap_or(default.idle),
            total: fields.total.unwrap_or(default.total),
            rescue_after: fields.rescue_after.unwrap_or(default.rescue_after),
            deadline: fields.deadline,
        }
    }
}

impl<'de> Visitor<'de> for NameOrFields {
    type Value = Timeouts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timeouts: `short`, `medium`, `long`, or a table of durations")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Timeouts, E> {
        let unknown = |_| E::invalid_value(Unexpected::Str(name), &self);
        name.parse().map_err(unknown)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Timeouts, A::Error> {
        Fields::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
    }
}

/// Reads the name of a profile, or a table of durations such as `{ head = "10s" }`.
impl<'de> Deserialize<'de> for Timeouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrFields)
    }
}

/// Writes all durations as text, such as `10s`.
impl Serialize for Timeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let given = [
            ("connect", Some(self.connect)),
            ("head", Some(self.head)),
            ("first_token", Some(self.first_token)),
            ("idle", Some(self.idle)),
            ("total", Some(self.total)),
            ("rescue_after", Some(self.rescue_after)),
            ("deadline", self.deadline),
        ];
        let mut fields = serializer.serialize_struct("Timeouts", given.len())?;
        for (name, value) in given {
            match value {
                Some(value) => {
                    let value = humantime::format_duration(value).to_string();
                    fields.serialize_field(name, &value)?;
                }
                None => fields.skip_field(name)?,
            }
        }
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_timeouts_are_read_again() {
        for timeouts in [Timeouts::DEFAULT, Timeouts::SHORT, Timeouts::LONG] {
            let text = toml::to_string(&timeouts).unwrap();
            assert_eq!(
                toml::from_str::<Timeouts>(&text).unwrap(),
                timeouts,
                "{text}"
            );
        }
    }
}
