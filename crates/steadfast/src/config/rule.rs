//! The rules of an endpoint in a configuration file.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use steadfast_balance::Rule;
use steadfast_core::{Class, Scope};

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
#[serde(deny_unknown_fields)]
struct Fields {
    class: Class,
    #[serde(default)]
    scope: Option<ScopeName>,
    #[serde(default, deserialize_with = "deserialize_some")]
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
        let rule = Rule::new(self.class);
        let rule = set(rule, self.scope.map(ScopeName::scope), Rule::scope);
        let rule = set(rule, self.hint, Rule::hint);
        let rule = set(rule, self.status, Rule::status);
        let rule = set(rule, self.code, Rule::code);
        let rule = set(rule, self.contains, Rule::contains);
        set(rule, self.header, |rule, header| {
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

/// Applies a setter, if there is a value for it.
fn set<T>(rule: Rule, value: Option<T>, setter: impl FnOnce(Rule, T) -> Rule) -> Rule {
    match value {
        Some(value) => setter(rule, value),
        None => rule,
    }
}
