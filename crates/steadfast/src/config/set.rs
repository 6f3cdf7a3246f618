//! Setters for values that may be absent, and errors without values.

use serde::de::Error;
use steadfast_core::InvalidConfig;

/// Applies setters of builders.
///
/// An absent key of a configuration leaves the default of the builder, which then stands in one
/// place.
pub(super) trait Set: Sized {
    /// Applies `setter`, if there is a value for it.
    fn set<T>(self, value: Option<T>, setter: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => setter(self, value),
            None => self,
        }
    }
}

impl<B> Set for B {}

/// Creates the error of a format. It omits the value, which may be a key in the wrong field.
pub(super) fn invalid<E: Error>(error: &InvalidConfig) -> E {
    E::custom(format_args!("{}: {}", error.field(), error.reason()))
}
