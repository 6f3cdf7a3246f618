//! The interpreter of error bodies and error events.
//!
//! The codes and texts of an error are collected from the fields of all dialects. Then the rows of the
//! tables decide about its class, in a fixed order of classes.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use steadfast_core::{Class, RateLimit, Scope, Verdict, hint_in_text};

use crate::dialect::dialects::DIALECTS;
use crate::dialect::request_text::RequestText;
use crate::dialect::table::{Codes, Details, Given, Phrase, at};

/// The classes that an error body can prove. The first one that its rows prove applies.
const PRECEDENCE: [Class; 7] = [
    Class::QuotaExhausted,
    Class::RateLimited,
    Class::Overloaded,
    Class::ContextTooLong,
    Class::ContentPolicy,
    Class::ModelUnavailable,
    Class::Unauthorized,
];

/// The evidence in the body of an error, from the fields of all dialects.
#[derive(Debug)]
pub(crate) struct ErrorBody<'a> {
    /// The text of the request, which the error may repeat.
    request: &'a RequestText,
    /// Codes and types, in lower case.
    codes: Vec<String>,
    /// Texts, in lower case.
    texts: Vec<String>,
    /// The hint of a structured field, if there is one.
    hint: Option<Duration>,
    /// Whether a structured field names the model of the limit.
    names_model: bool,
    /// Whether the status is `404`.
    not_found: bool,
}

/// The support of a class or a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A status, a header, a code or a structured field.
    Structure,
    /// A message, which may repeat input of the caller.
    Text,
}

/// Refines the verdict on a status and its headers by the body.
pub(crate) fn refine(
    verdict: Verdict,
    (status, headers): (StatusCode, &HeaderMap),
    body: &[u8],
    request: &RequestText,
) -> Verdict {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return verdict;
    };
    let mut body = ErrorBody::of(&value, request);
    body.not_found = status == StatusCode::NOT_FOUND;
    // `retry-after` precedes the body. The reset of an empty bucket comes last.
    let explicit = RateLimit::from_headers(headers, SystemTime::now()).retry_after();
    body.judge(verdict, explicit)
}

impl<'a> ErrorBody<'a> {
    /// Reads an error, which may be in a field `error` or in a list.
    pub(crate) fn of(value: &Value, request: &'a RequestText) -> Self {
        let value = value.get(0).unwrap_or(value);
        let mut body = Self {
            request,
            codes: Vec::new(),
            texts: Vec::new(),
            hint: None,
            names_model: false,
            not_found: false,
        };
        body.read(value);
        if let Some(error) = value.get("error") {
            body.read(error);
        }
        body
    }

    /// Returns the verdict on an error that came after `200`, as a stream event.
    pub(crate) fn verdict(&self) -> Verdict {
        let class = if self.has_code_of(Class::CallerFault) {
            Class::CallerFault
        } else {
            Class::ServerError
        };
        self.judge(Verdict::new(class), None)
    }

    /// Refines a verdict. An explicit hint of a header precedes the hints of the body.
    fn judge(&self, given: Verdict, explicit: Option<Duration>) -> Verdict {
        let (class, origin) = self.class(given.class());
        let explicit = explicit.map(|hint| (hint, Origin::Structure));
        let hint = explicit.or_else(|| self.hint(class));
        let verdict =
            (given.with_class(class)).with_hint(hint.map(|(hint, _)| hint).or(given.hint()));
        let verdict = match self.scope(class) {
            Some(scope) => verdict.with_scope(scope),
            None => verdict,
        };
        if origin == Origin::Text || matches!(hint, Some((_, Origin::Text))) {
            verdict.with_text_origin()
        } else {
            verdict
        }
    }

    /// Reads the codes and the text of one error object.
    fn read(&mut self, error: &Value) {
        for dialect in DIALECTS {
            for path in dialect.code_fields {
                match at(error, path) {
                    // The error is a mere text, which may repeat input of the caller.
                    Value::String(text) if path.is_empty() && self.request.may_contain(text) => {}
                    Value::String(text) => self.codes.push(text.to_ascii_lowercase()),
                    Value::Number(number) => self.codes.push(number.to_string()),
                    _ => {}
                }
            }
            for path in dialect.text_fields {
                if let Some(text) = at(error, path).as_str() {
                    self.texts.push(text.to_ascii_lowercase());
                }
            }
            if let Some(details) = &dialect.details {
                self.read_details(error, details);
            }
        }
        for path in DIALECTS.iter().filter_map(|dialect| dialect.header_field) {
            self.read_copied_headers(at(error, path));
        }
    }

    /// Reads the structured details, such as Google's `RetryInfo`.
    fn read_details(&mut self, error: &Value, fields: &Details) {
        for detail in error[fields.list].as_array().into_iter().flatten() {
            if let Some(delay) = detail[fields.delay].as_str() {
                self.hint = hint_in_text(&format!("retry in {delay}"));
            }
            if let Some(code) = detail[fields.code].as_str() {
                self.codes.push(code.to_ascii_lowercase());
            }
            for quota in detail[fields.quotas].as_array().into_iter().flatten() {
                self.names_model |= at(quota, fields.model).is_string();
                let name = quota[fields.quota].as_str();
                if name.is_some_and(|name| name.contains(fields.daily)) {
                    self.codes.push(fields.daily_code.to_owned());
                }
            }
        }
    }

    /// Reads headers that a relay copied into the body.
    fn read_copied_headers(&mut self, copied: &Value) {
        let headers: HeaderMap = copied
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let name = HeaderName::try_from(name).ok()?;
                Some((name, HeaderValue::try_from(value.as_str()?).ok()?))
            })
            .collect();
        let limit = RateLimit::from_headers(&headers, SystemTime::now());
        self.hint = self.hint.or(limit.hint());
    }

    /// Returns the class of the error and its support, if its status alone means `given`.
    fn class(&self, given: Class) -> (Class, Origin) {
        let proof = |class| Some((class, self.proof(class, given)?));
        let proven = PRECEDENCE.into_iter().find_map(proof);
        proven.unwrap_or((given, Origin::Structure))
    }

    /// Returns the proof of `class`: the status, a code or a phrase.
    fn proof(&self, class: Class, given: Class) -> Option<Origin> {
        let by_code = match class {
            Class::QuotaExhausted => is_refusal(given),
            Class::Unauthorized => given != Class::ServerError,
            _ => true,
        };
        let by_status = matches!(class, Class::QuotaExhausted | Class::RateLimited);
        if by_status && given == class || by_code && self.has_code_of(class) {
            return Some(Origin::Structure);
        }
        let mut rows = phrases().filter(|row| row.class == class);
        rows.any(|row| self.has_phrase(row, given))
            .then_some(Origin::Text)
    }

    /// Returns the state that the error concerns, if the body reports it.
    fn scope(&self, class: Class) -> Option<Scope> {
        let is_limit = matches!(class, Class::QuotaExhausted | Class::RateLimited);
        if is_limit && self.names_model {
            return Some(Scope::Key);
        }
        let mut starts = DIALECTS.iter().flat_map(|dialect| dialect.account_texts);
        let is_wide = class == Class::RateLimited
            && starts.any(|start| {
                self.texts.iter().any(|text| text.starts_with(start))
                    && !self.request.may_contain(start)
            });
        is_wide.then_some(Scope::Endpoint)
    }

    /// Returns whether a phrase of a table matches the text.
    fn has_phrase(&self, row: &Phrase, given: Class) -> bool {
        let given = match row.given {
            Given::CallerFault => given == Class::CallerFault,
            Given::NotFound => self.not_found,
            Given::RateLimited => {
                given == Class::RateLimited
                    || is_refusal(given) && self.has_code_of(Class::RateLimited)
            }
        };
        given
            && self.has_codes(&row.codes)
            && self.texts.iter().any(|text| text.starts_with(row.begins))
            && self.texts.iter().any(|text| text.contains(row.contains))
            && (row.class != Class::QuotaExhausted || !self.is_repeated(row))
    }

    /// Returns whether the request may contain a part of the phrase.
    fn is_repeated(&self, row: &Phrase) -> bool {
        let mut parts = [row.begins, row.contains].into_iter();
        parts.any(|part| !part.is_empty() && self.request.may_contain(part))
    }

    /// Returns whether the body has one of these codes.
    fn has_codes(&self, codes: &Codes) -> bool {
        match *codes {
            Codes::Any => true,
            Codes::One(codes) => self.codes.iter().any(|code| codes.contains(&&**code)),
            Codes::Exactly(codes) => self.codes == codes,
        }
    }

    /// Returns how long an error of this class asks to wait, and the support of this hint.
    ///
    /// Text counts only if a status or a code proves a limit, and the request contains no such text.
    fn hint(&self, class: Class) -> Option<(Duration, Origin)> {
        if let Some(hint) = self.hint {
            return Some((hint, Origin::Structure));
        }
        if class != Class::RateLimited && !self.has_code_of(Class::QuotaExhausted) {
            return None;
        }
        let hint = self.texts.iter().find_map(|text| hint_in_text(text))?;
        (!self.request.may_contain_hint()).then_some((hint, Origin::Text))
    }

    /// Returns whether the body has a code of this class.
    fn has_code_of(&self, class: Class) -> bool {
        let mut rows = DIALECTS.iter().flat_map(|dialect| dialect.codes);
        rows.any(|&(row, of)| of == class && self.codes.iter().any(|code| code == row))
    }
}

/// Returns the phrases of all tables.
fn phrases() -> impl Iterator<Item = &'static Phrase> {
    DIALECTS.iter().flat_map(|dialect| dialect.phrases)
}

/// Whether an error with this status may be a refusal for a spent quota.
fn is_refusal(given: Class) -> bool {
    matches!(
        given,
        Class::RateLimited
            | Class::Unauthorized
            | Class::CallerFault
            | Class::QuotaExhausted
            | Class::ServerError
    )
}

#[cfg(test)]
mod tests;
