use std::error::Error;
use std::fmt;

/// A text is not the name of a value, such as of a [`Class`](crate::Class).
///
/// ```
/// use steadfast_core::BreakerState;
///
/// let error = "broken".parse::<BreakerState>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"unknown breaker state: "broken", expected closed, open or half_open"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    kind: &'static str,
    name: String,
    known: &'static [&'static str],
}

impl UnknownName {
    /// Creates the error for a `name` that is not among the `known` names of a `kind`.
    #[must_use]
    pub fn new(
        kind: &'static str,
        name: impl Into<String>,
        known: &'static [&'static str],
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            known,
        }
    }

    /// Returns the kind of value that was expected, such as `class`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the unknown name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the known names.
    #[must_use]
    pub fn known(&self) -> &'static [&'static str] {
        self.known
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {}: {:?}", self.kind, self.name)?;
        for (n, known) in self.known.iter().enumerate() {
            f.write_str(match n {
                0 => ", expected ",
                _ if n + 1 == self.known.len() => " or ",
                _ => ", ",
            })?;
            f.write_str(known)?;
        }
        Ok(())
    }
}

impl Error for UnknownName {}
