use std::fmt;

/// A configuration value that a builder rejects, with the name of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    field: String,
    value: String,
    reason: &'static str,
}

impl InvalidConfig {
    /// Creates the error. The message contains `value`, so it must not be a secret.
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

    /// Returns the rejected value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the rule that the value breaks.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Prints `breaker.probes: must be at least 1, got 0`.
impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            reason,
        } = self;
        if value.is_empty() {
            return write!(f, r#"{field}: {reason}, got """#);
        }
        // Escaped, since a value may contain line breaks, and messages are written to logs.
        write!(f, "{field}: {reason}, got {}", value.escape_debug())
    }
}

impl std::error::Error for InvalidConfig {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_contains_field_rule_and_value() {
        let error = InvalidConfig::new("probes", 0, "must be at least 1").within("breaker");
        assert_eq!(
            error.to_string(),
            "breaker.probes: must be at least 1, got 0"
        );
    }

    #[test]
    fn empty_value_is_quoted_and_line_break_is_escaped() {
        for (value, expected) in [
            ("", r#"name: must not be empty, got """#),
            ("a\nb", r"name: must not be empty, got a\nb"),
        ] {
            let error = InvalidConfig::new("name", value, "must not be empty");
            assert_eq!(error.to_string(), expected);
        }
    }
}
