//! The evidence in the body of an error, from the fields of all dialects.

use std::time::{Duration, SystemTime};

use http::header::DATE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use steadfast_core::{RateLimit, hint_in_text};

use crate::dialect::dialects::FIELD_ROWS;
use crate::dialect::request_text::RequestText;
use crate::dialect::table::{Details, HintFormat, at};

/// The part of a plain text that is read.
const MAX_TEXT: usize = 4096;

/// The codes, texts and hints of an error.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Codes and types, in lower case.
    pub(crate) codes: Vec<String>,
    /// Texts, in lower case. At least one, which may be empty.
    pub(crate) texts: Vec<String>,
    /// The hint of a structured field, if there is one.
    pub(crate) hint: Option<Duration>,
    /// Whether a structured field names the model of the limit.
    pub(crate) names_model: bool,
}

impl Evidence {
    /// Reads an error, which may be in a field `error` or in a list.
    pub(crate) fn of(value: &Value, headers: &HeaderMap, request: &RequestText) -> Self {
        let value = value.get(0).unwrap_or(value);
        let mut evidence = Self::default();
        for name in &FIELD_ROWS.code_headers {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            // AWS appends a URL.
            let code = value.and_then(|value| value.split(':').next());
            evidence.add_code(code.unwrap_or_default());
        }
        evidence.read(value, headers, request);
        if let Some(error) = value.get("error") {
            evidence.read(error, headers, request);
        }
        if evidence.texts.is_empty() {
            evidence.texts.push(String::new());
        }
        evidence
    }

    /// Reads a body that is no JSON.
    pub(crate) fn of_text(body: &[u8]) -> Self {
        let body = &body[..body.len().min(MAX_TEXT)];
        let text = String::from_utf8_lossy(body.trim_ascii());
        Self {
            texts: vec![text.to_ascii_lowercase()],
            ..Self::default()
        }
    }

    /// Returns the code that is the status of an error.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        let mut numbers = self.codes.iter().filter_map(|code| code.parse().ok());
        let number = numbers.find(|number| (400..600).contains(number))?;
        StatusCode::from_u16(number).ok()
    }

    /// Returns the hint in a text.
    pub(crate) fn hint_in_text(&self) -> Option<Duration> {
        self.texts.iter().find_map(|text| hint_in_text(text))
    }

    /// Reads the codes, the texts and the hints of one error object.
    fn read(&mut self, error: &Value, headers: &HeaderMap, request: &RequestText) {
        for path in &FIELD_ROWS.code_fields {
            match at(error, path) {
                // The error is a mere text, which may repeat input of the caller.
                Value::String(text) if path.is_empty() && request.may_contain(text) => {}
                Value::String(text) => self.add_code(text),
                Value::Number(number) => self.codes.push(number.to_string()),
                _ => {}
            }
        }
        for path in &FIELD_ROWS.status_fields {
            // Another provider has other numbers.
            if let (Value::Number(number), [.., name]) = (at(error, path), path) {
                self.codes.push(format!("{name}={number}"));
            }
        }
        for path in &FIELD_ROWS.text_fields {
            if let Some(text) = at(error, path).as_str() {
                self.texts.push(text.to_ascii_lowercase());
            }
        }
        for details in &FIELD_ROWS.details {
            self.read_details(error, details);
        }
        for (path, format) in &FIELD_ROWS.hint_fields {
            let hint = hint(at(error, path), *format, headers);
            self.hint = self.hint.or(hint);
        }
        for path in &FIELD_ROWS.header_fields {
            self.read_copied_headers(at(error, path));
        }
    }

    /// Adds a code, and its last part if it has a name space.
    fn add_code(&mut self, code: &str) {
        let code = code.to_ascii_lowercase();
        if let Some((_, last)) = code.rsplit_once('#') {
            self.codes.push(last.to_owned());
        }
        if !code.is_empty() {
            self.codes.push(code);
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
        let Some(copied) = copied.as_object() else {
            return;
        };
        let headers: HeaderMap = copied
            .iter()
            .filter_map(|(name, value)| {
                let name = HeaderName::try_from(name).ok()?;
                Some((name, HeaderValue::try_from(value.as_str()?).ok()?))
            })
            .collect();
        let limit = RateLimit::from_headers(&headers, SystemTime::now());
        self.hint = self.hint.or(limit.hint());
    }
}

/// Reads a field as the header of the same format, with all its bounds.
fn hint(value: &Value, format: HintFormat, headers: &HeaderMap) -> Option<Duration> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let (name, text) = match format {
        HintFormat::Delay if text.ends_with(|end: char| end.is_ascii_alphabetic()) => {
            return hint_in_text(&format!("retry in {text}"));
        }
        HintFormat::Delay => ("retry-after", text),
        HintFormat::Millis => ("retry-after-ms", text),
        HintFormat::Instant => ("x-ratelimit-reset", text),
    };
    let mut read = HeaderMap::from_iter([
        (
            HeaderName::from_static(name),
            HeaderValue::try_from(text).ok()?,
        ),
        (
            HeaderName::from_static("x-ratelimit-remaining"),
            HeaderValue::from_static("0"),
        ),
    ]);
    if let Some(date) = headers.get(DATE) {
        read.insert(DATE, date.clone());
    }
    RateLimit::from_headers(&read, SystemTime::now()).hint()
}
