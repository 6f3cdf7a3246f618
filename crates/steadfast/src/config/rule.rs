//! The rules of an endpoint in a configuration file.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use steadfast_balance::Rule;
use steadfast_core::{Class, Scope};

#[cfg(feature = "schema")]
use super::schema;
use super::set::Set;
use crate::duration::deserialize_some;

/// The fields of one rule, as in
///
/// ```toml
/// [[endpoint.rule]]
/// status = 403
/// contains = "run out of credits"
/// class = "quota_exhausted"
/// ```
#[derive(Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "RuleConfig")
)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    class: Class,
    #[serde(default)]
    scope: Option<ScopeName>,
    #[serde(default, deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    hint: Option<Duration>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    code: Option<String>,
    /// A name, or `name: value`.
    #[serde(default)]
    header: Option<String>,
    #[serde(default)]
    contains: Option<String>,
}

/// The names of scopes.
#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum ScopeName {
    Key,
    Endpoint,
    Request,
}

/// Reads a list of rules. Their values are checked when the stack is built.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Rule>, D::Error> {
    let list = Vec::<Fields>::deserialize(list)?;
    Ok(list.into_iter().map(Fields::rule).collect())
}

impl Fields {
    /// Creates the rule. Fields that are absent are no conditions.
    fn rule(self) -> Rule {
        Rule::new(self.class)
            .set(self.scope.map(ScopeName::scope), Rule::scope)
            .set(self.hint, Rule::hint)
            .set(self.status, Rule::status)
            .set(self.code, Rule::code)
            .set(self.contains, Rule::contains)
            .set(self.header, |rule, header| {
                let (name, value) = header.split_once(':').unwrap_or((&header, ""));
                rule.header(name.trim(), value.trim())
            })
    }
}

impl ScopeName {
    /// Returns the scope of this name.
    fn scope(self) -> Scope {
        match self {
            Self::Key => Scope::Key,
            Self::Endpoint => Scope::Endpoint,
            Self::Request => Scope::Request,
        }
    }
}
