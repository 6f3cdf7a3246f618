//! The interpreter of stream events.

use serde_json::Value;
use steadfast_core::Verdict;

use crate::dialect::dialects::DIALECTS;
use crate::dialect::error_body::ErrorBody;
use crate::dialect::request_text::RequestText;
use crate::dialect::table::{Choices, EventRule, at};

/// The kind of a stream event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum EventKind {
    /// The server is alive, and sends nothing else.
    Ping,
    /// Something before the answer: a role, an announcement.
    Preamble,
    /// A piece of the answer that its reader shows.
    Visible,
    /// A piece of one or more choices of a completion, with a bit for each.
    Choices {
        /// The choices in this event.
        begun: u64,
        /// The choices that end with this event.
        ended: u64,
        /// Whether the reader shows a part of it.
        visible: bool,
    },
    /// The end of the answer.
    Final,
    /// The endpoint failed after it had sent `200`.
    Failed(Verdict),
    /// No dialect has an event like this.
    Unknown,
}

impl EventKind {
    /// Reads the data of an event in the answer to a request with this text.
    pub(crate) fn of(data: &[u8], request: &RequestText) -> Self {
        if data.trim_ascii() == b"[DONE]" {
            return Self::Final;
        }
        match serde_json::from_slice::<Value>(data) {
            Ok(Value::Array(items)) => {
                (items.first()).map_or(Self::Unknown, |item| Self::of_value(item, request))
            }
            Ok(value) => Self::of_value(&value, request),
            Err(_) => Self::Unknown,
        }
    }

    /// Classifies the data of an event without a rule.
    fn of_value(value: &Value, request: &RequestText) -> Self {
        if let Some(error) = value.get("error").filter(|error| is_something(error)) {
            return Self::failed(error, request);
        }
        if let Some(name) = value["type"].as_str() {
            return rule(name).map_or(Self::Unknown, |rule| Self::by_rule(rule, value, request));
        }
        for choices in DIALECTS.iter().filter_map(|it| it.choices.as_ref()) {
            if let Some(list) = value[choices.list].as_array() {
                return Self::of_choices(list, choices);
            }
        }
        Self::Unknown
    }

    /// Classifies the data of an event by the rule of its type.
    fn by_rule(rule: &EventRule, value: &Value, request: &RequestText) -> Self {
        match *rule {
            EventRule::Ping => Self::Ping,
            EventRule::Preamble => Self::Preamble,
            EventRule::Final => Self::Final,
            EventRule::FinalIf(path) if at(value, path).is_string() => Self::Final,
            EventRule::FinalIf(_) => Self::Unknown,
            EventRule::Failed(path) => Self::failed(at(value, path), request),
            EventRule::Block(path, preamble) => {
                let block = at(value, path).as_str();
                Self::preamble_if(block.is_some_and(|block| preamble.contains(&block)))
            }
            EventRule::Delta(field) => Self::preamble_if(is_empty_delta(&value[field])),
        }
    }

    /// The choices of a completion. Its usage comes last, without any choice.
    fn of_choices(list: &[Value], fields: &Choices) -> Self {
        let (mut begun, mut ended, mut visible) = (0, 0, false);
        for choice in list {
            let index = choice["index"].as_u64().unwrap_or_default().min(63);
            begun |= 1 << index;
            // Some relays send an empty reason, or the text "null", with every piece.
            let reason = choice[fields.reason].as_str().unwrap_or_default();
            if !reason.is_empty() && reason != "null" {
                ended |= 1 << index;
            }
            visible |= fields
                .shown
                .iter()
                .any(|path| is_something(at(choice, path)));
        }
        Self::Choices {
            begun,
            ended,
            visible,
        }
    }

    /// Classifies an error object.
    fn failed(error: &Value, request: &RequestText) -> Self {
        Self::Failed(ErrorBody::of(error, request).verdict())
    }

    /// Returns a preamble, or visible content.
    fn preamble_if(preamble: bool) -> Self {
        if preamble {
            Self::Preamble
        } else {
            Self::Visible
        }
    }
}

/// The rule of the events with this `type`.
fn rule(name: &str) -> Option<&'static EventRule> {
    let matches = |row: &str| match row.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == row,
    };
    let mut rows = DIALECTS.iter().flat_map(|dialect| dialect.events);
    rows.find(|(row, _)| matches(row)).map(|(_, rule)| rule)
}

/// Whether a piece of an answer is present and empty.
fn is_empty_delta(delta: &Value) -> bool {
    match delta {
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => {
            (fields.iter()).all(|(name, value)| name == "type" || !is_something(value))
        }
        _ => false,
    }
}

/// Returns whether a value is visible content: neither null nor empty.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
