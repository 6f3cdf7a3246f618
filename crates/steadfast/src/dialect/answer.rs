//! The interpreter of whole answers.
//!
//! A `200` is a claim. The top level of the answer shows whether it is the requested one: it has a
//! field of the operation, and no field reports an error. The same pass reads its usage.

use serde_json::Value;
use steadfast_core::{Class, Verdict};

use crate::dialect::context::Context;
use crate::dialect::dialects::{FIELD_ROWS, rows};
use crate::dialect::error_body::ErrorBody;
use crate::dialect::table::Usage;
use crate::json;

/// A larger error is not read. `serde_json` builds a tree of it.
const MAX_ERROR: usize = 64 * 1024;

/// The fields of which an answer to a request has at least one.
pub(crate) type Shape = &'static [&'static str];

/// The numbers of tokens that an answer reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenCounts {
    /// Of the request.
    pub(crate) input: u64,
    /// Of the answer.
    pub(crate) output: u64,
}

/// The parts of a good answer that outlive its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted<'a> {
    /// Its usage, if it reports one.
    pub(crate) usage: Option<TokenCounts>,
    /// Its id as written.
    pub(crate) id: Option<&'a [u8]>,
}

/// Returns the shape of the answers to a `POST` to this path, if a dialect has one.
///
/// The answer to an asynchronous operation is the id of a job.
pub(crate) fn answer_shape(path: &str) -> Option<Shape> {
    let applies = |end: &str| {
        let rest = path.strip_suffix(end);
        let rest = rest.filter(|rest| rest.ends_with('/') || end.starts_with(':'));
        rest.is_some_and(|rest| !rest.contains("/async/"))
    };
    let mut all = rows(|dialect| dialect.answers);
    all.find(|(end, _)| applies(end)).map(|(_, shape)| *shape)
}

/// Judges a whole answer by its top level, and reads its usage and its id in the same pass.
///
/// # Errors
///
/// Returns the verdict on an answer that is not the requested one.
pub(crate) fn judge<'a>(
    body: &'a [u8],
    shape: Shape,
    context: &Context,
) -> Result<Accepted<'a>, Verdict> {
    // Gemini sends a stream as a list, unless the request asks for events.
    let mut first = None;
    let answer = if body.trim_ascii_start().starts_with(b"[") {
        json::items(body, |item| first = first.or(Some(item)))
            .ok_or(Verdict::new(Class::ServerError))?;
        first.unwrap_or_default()
    } else {
        body
    };
    let (mut found, mut failed, mut accepted) = (false, false, Accepted::default());
    let (mut names, mut deferred) = (0_usize, false);
    let whole = json::fields(answer, |name, value| {
        names += 1;
        // A deferred completion of xAI. Another attempt would run and bill it again.
        deferred |= name == b"request_id" && value.len() > 2;
        found |= is_in(shape, name) && matches!(value[0], b'[' | b'{');
        failed |= is_failure(name, value);
        if name == b"id" {
            accepted.id = Some(value);
        }
        accepted.usage = token_counts(name, value).or(accepted.usage);
    });
    match whole {
        Some(()) if !failed && (found || deferred && names == 1 && !shape.is_empty()) => {
            Ok(accepted)
        }
        Some(()) => Err(verdict(answer, context)),
        None => Err(Verdict::new(Class::ServerError)),
    }
}

/// Returns the verdict on JSON in the place of an answer.
fn verdict(body: &[u8], context: &Context) -> Verdict {
    if body.len() <= MAX_ERROR {
        return ErrorBody::of_bytes(body, context).verdict();
    }
    match json::field(body, "error").filter(|error| error.len() <= MAX_ERROR) {
        Some(error) => ErrorBody::of_bytes(error, context).verdict(),
        None => Verdict::new(Class::ServerError),
    }
}

/// Returns whether a field of the top level reports an error.
pub(super) fn is_failure(name: &[u8], value: &[u8]) -> bool {
    if name == b"error" {
        return is_something(value);
    }
    FIELD_ROWS.status_fields.iter().any(|path| {
        let (first, rest) = path.split_first().expect("a path has a field");
        first.as_bytes() == name && {
            let status = rest
                .iter()
                .try_fold(value, |value, part| json::field(value, part));
            status.is_some_and(|status| status != b"0" && status != b"null")
        }
    })
}

/// Returns whether a value is neither null nor empty.
pub(super) fn is_something(value: &[u8]) -> bool {
    match value {
        b"null" | b"false" | b"\"\"" => false,
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => !inner.trim_ascii().is_empty(),
        _ => true,
    }
}

/// Returns whether `name` is among these.
pub(super) fn is_in(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|it| it.as_bytes() == name)
}

/// Reads the usage of an answer from a field of its top level.
fn token_counts(name: &[u8], value: &[u8]) -> Option<TokenCounts> {
    let mut all = FIELD_ROWS.usage.iter();
    all.find_map(|usage| (usage.field.as_bytes() == name).then(|| counts(usage, value))?)
}

/// Reads the counts of a usage object. The other fields of it are details.
fn counts(usage: &Usage, value: &[u8]) -> Option<TokenCounts> {
    let mut counts = None::<TokenCounts>;
    json::fields(value, |name, value| {
        let Some(number) = json::count(value) else {
            return;
        };
        if name == usage.input.as_bytes() {
            counts.get_or_insert_default().input = number;
        } else if name == usage.output.as_bytes() {
            counts.get_or_insert_default().output = number;
        }
    })?;
    counts
}

/// Returns whether a JSON value reports an error although it has no field `error`.
pub(super) fn is_bare_error(value: &Value) -> bool {
    value["object"] == "error" || value["code"].is_string() && value["message"].is_string()
}

#[cfg(test)]
mod tests;
