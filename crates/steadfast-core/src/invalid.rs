use std::fmt;

/// A value that a builder refuses, with the name of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    field: String,
    value: String,
    reason: &'static str,
}

impl InvalidConfig {
    /// Creates the error. The value is printed as it is, so it must not be a secret.
    pub fn new(field: impl Into<String>, value: impl fmt::Display, reason: &'static str) -> Self {
        Self {
            field: field.into(),
            value: value.to_string(),
            reason,
        }
    }

    /// Puts `parent` before the name of the field, as in `endpoint.breaker.probes`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }

    /// Returns the name of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the value that was refused.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what a good value looks like.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, got {:?}", self.field, self.reason, self.value)
    }
}

impl std::error::Error for InvalidConfig {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_field_the_rule_and_the_value() {
        let error = InvalidConfig::new("probes", 0, "must be at least 1").within("breaker");
        assert_eq!(
            error.to_string(),
            r#"breaker.probes must be at least 1, got "0""#
        );
    }
}
