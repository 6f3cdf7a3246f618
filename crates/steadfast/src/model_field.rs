//! The field `model` of a body.
//!
//! A body is read once, and most of it is skipped. The model is copied from the body into a key of a
//! fixed size.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use steadfast_core::LimitKey;

/// The field `model` of a body, read without an allocation. Other types than a string are ignored.
#[derive(Debug, Default)]
pub(crate) struct ModelField(pub(crate) Option<LimitKey>);

impl ModelField {
    /// Creates the field from a string. An empty one is no model.
    pub(crate) fn new(model: &str) -> Self {
        let model = Some(model).filter(|model| !model.is_empty());
        Self(model.map(LimitKey::new))
    }
}

impl<'de> Deserialize<'de> for ModelField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ModelVisitor)
    }
}

/// Reads a string, and skips any other value. An unusual model must not hide the other fields.
struct ModelVisitor;

impl<'de> Visitor<'de> for ModelVisitor {
    type Value = ModelField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, model: &str) -> Result<ModelField, E> {
        Ok(ModelField::new(model))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<ModelField, E> {
        Ok(ModelField(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<ModelField, E> {
        Ok(ModelField(None))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<ModelField, E> {
        Ok(ModelField(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<ModelField, E> {
        Ok(ModelField(None))
    }

    fn visit_unit<E: Error>(self) -> Result<ModelField, E> {
        Ok(ModelField(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelField, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(ModelField(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ModelField, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ModelField(None))
    }
}
