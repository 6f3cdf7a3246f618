//! The field `model` of a body.
//!
//! A body is read once, and most of it is skipped. The model is copied from the body into a key of
//! a fixed size.

use serde::de::{Deserialize, Deserializer};
use steadfast_core::LimitKey;

use crate::scan::{Lenient, lenient};

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

impl Lenient for ModelField {
    fn of_str(model: &str) -> Self {
        Self::new(model)
    }
}

impl<'de> Deserialize<'de> for ModelField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lenient(deserializer)
    }
}
