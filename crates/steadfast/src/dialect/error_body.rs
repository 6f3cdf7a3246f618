//! The interpreter of error bodies and error events.
//!
//! The codes and texts of an error are collected from the fields of all dialects. Then the rows of the
//! tables decide about its class, in a fixed order of classes.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use steadfast_core::{Class, RateLimit, Verdict, hint_in_text};

use crate::dialect::dialects::DIALECTS;
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
#[derive(Debug, Default)]
pub(crate) struct ErrorBody {
    /// Codes and types, in lower case.
    codes: Vec<String>,
    /// Texts, in lower case.
    texts: Vec<String>,
    /// The hint of the body, if it has one.
    hint: Option<Duration>,
    /// Whether the status is `404`.
    not_found: bool,
}

/// Refines the verdict on a status and its headers by the body.
pub(crate) fn refine(
    verdict: Verdict,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Verdict {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return verdict;
    };
    let mut body = ErrorBody::of(&value);
    body.not_found = status == StatusCode::NOT_FOUND;
    // `retry-after` precedes the body. The reset of an empty bucket comes last.
    let explicit = RateLimit::from_headers(headers, SystemTime::now()).retry_after();
    let class = body.class(verdict.class());
    let hint = explicit.or(body.hint(class)).or(verdict.hint());
    verdict.with_class(class).with_hint(hint)
}

impl ErrorBody {
    /// Reads an error, which may be in a field `error` or in a list.
    pub(crate) fn of(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value);
        let mut body = Self::default();
        body.read(value);
        if let Some(error) = value.get("error") {
            body.read(error);
        }
        body
    }

    /// Returns the verdict on an error that came after `200`, as a stream event.
    pub(crate) fn verdict(&self) -> Verdict {
        let class = self.class(if self.has_code_of(Class::CallerFault) {
            Class::CallerFault
        } else {
            Class::ServerError
        });
        Verdict::new(class).with_hint(self.hint(class))
    }

    /// Reads the codes and the text of one error object.
    fn read(&mut self, error: &Value) {
        for dialect in DIALECTS {
            for path in dialect.code_fields {
                match at(error, path) {
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

    /// Returns the class of the error, if its status alone means `given`.
    fn class(&self, given: Class) -> Class {
        let mut classes = PRECEDENCE.into_iter();
        let class = classes.find(|&class| self.proves(class, given));
        class.unwrap_or(given)
    }

    /// Returns whether a code or a phrase proves `class`.
    fn proves(&self, class: Class, given: Class) -> bool {
        let by_code = match class {
            Class::QuotaExhausted => is_refusal(given),
            Class::Unauthorized => given != Class::ServerError,
            _ => true,
        };
        let by_status = matches!(class, Class::QuotaExhausted | Class::RateLimited);
        by_status && given == class
            || by_code && self.has_code_of(class)
            || phrases().any(|row| row.class == class && self.has_phrase(row, given))
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
    }

    /// Returns whether the body has one of these codes.
    fn has_codes(&self, codes: &Codes) -> bool {
        match *codes {
            Codes::Any => true,
            Codes::One(codes) => self.codes.iter().any(|code| codes.contains(&&**code)),
            Codes::Exactly(codes) => self.codes == codes,
        }
    }

    /// Returns how long an error of this class asks to wait.
    ///
    /// Text counts only if a status or a code proves a limit: it may repeat input of the caller.
    fn hint(&self, class: Class) -> Option<Duration> {
        let limit = class == Class::RateLimited || self.has_code_of(Class::QuotaExhausted);
        let in_text = || self.texts.iter().find_map(|text| hint_in_text(text));
        (self.hint).or_else(|| limit.then(in_text).flatten())
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
