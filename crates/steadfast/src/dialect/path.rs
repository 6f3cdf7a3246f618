//! The interpreter of paths.

use http::Method;

use crate::dialect::dialects::rows;
use crate::dialect::table::PathRule;

/// Returns the rule of a request, if a provider has one for its path below the request root.
pub(crate) fn path_rule(method: &Method, path: &str, names_state: bool) -> Option<PathRule> {
    let post = method == Method::POST;
    let path = path.trim_end_matches('/');
    let exact = path.strip_prefix('/').unwrap_or(path);
    let relative = exact.trim_start_matches('/');
    let applies = |row: &str, rule: PathRule| match rule {
        PathRule::Stateless if row.starts_with('*') => post && exact.ends_with(&row[1..]),
        PathRule::Stateless => post && exact == row,
        PathRule::StoredUnlessForbidden => post && !names_state && exact == row,
        PathRule::Stateful => below(relative, row).is_some(),
    };
    let row = rows(|dialect| dialect.paths).find(|&&(row, rule)| applies(row, rule))?;
    Some(row.1)
}

/// Returns whether the answer to a `POST` of this path is stored by default. The path is below the
/// request root.
pub(crate) fn is_stored_by_default(path: &str) -> bool {
    let rule = path_rule(&Method::POST, path, false);
    rule == Some(PathRule::StoredUnlessForbidden)
}

/// Returns the rest of a path that is `root` or below it.
pub(crate) fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(root)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
