//! The interpreter of stream events.
//!
//! No event becomes a tree, except an error: a stream has many events, and each costs its reader
//! time.

use serde_json::Value;
use steadfast_core::{Class, Verdict};

use crate::dialect::answer::{is_bare_error, is_failure, is_something};
use crate::dialect::context::Context;
use crate::dialect::dialects::{FIELD_ROWS, kept, rows};
use crate::dialect::error_body::ErrorBody;
use crate::dialect::table::{Choices, EventRule, Path};
use crate::json;

/// A larger error is not read. `serde_json` builds a tree of it.
const MAX_ERROR: usize = 64 * 1024;

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
    /// The end of the stream. It shows nothing by itself.
    Done,
    /// The endpoint failed after it had sent `200`.
    Failed(Verdict),
    /// No dialect has an event like this.
    Unknown,
}

/// An answer that ends with a failure of the server.
const FAILED: EventKind = EventKind::Failed(Verdict::new(Class::ServerError));

/// The fields of an event that decide about it.
#[derive(Default)]
struct Event<'a> {
    /// A field reports an error.
    failed: bool,
    /// The field `type`.
    kind: Option<&'a str>,
    /// The list of choices, and the table with its name.
    list: Option<(&'a [u8], &'static Choices)>,
    /// Whether it may be an error without a field `error`.
    may_be_bare: bool,
    /// Whether the prompt was blocked. Such an event has no candidates.
    blocked: bool,
}

impl EventKind {
    /// Reads an event with this name, in the answer to a request with this text.
    pub(crate) fn of(name: &[u8], data: &[u8], context: &Context) -> Self {
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return Self::Done;
        }
        // Gemini sends a list, unless the request asks for events.
        let mut first = None;
        if data.starts_with(b"[") {
            let _ = json::items(data, |item| first = first.or(Some(item)));
        }
        let value = first.unwrap_or(data);
        let Some(event) = Event::read(value) else {
            return Self::of_text(name, value, context);
        };
        event.kind(name, value, context)
    }

    /// Returns whether an event is an error by its name, its type or a field of its top level.
    pub(crate) fn is_error(name: &[u8], data: &[u8]) -> bool {
        let fails = |name| matches!(rule(name), Some(EventRule::Failed(_)));
        let mut found = std::str::from_utf8(name).is_ok_and(fails);
        let _ = json::fields(data.trim_ascii(), |name, value| {
            found |= is_failure(name, value);
            found |= name == b"type" && json::plain_text(value).is_some_and(fails);
        });
        found
    }

    /// Classifies an error object or an error text.
    pub(crate) fn failed(error: &[u8], context: &Context) -> Self {
        if error.len() > MAX_ERROR {
            return Self::Failed(Verdict::new(Class::ServerError));
        }
        Self::Failed(ErrorBody::of_bytes(error, context).verdict())
    }

    /// Classifies an event without an object. Only its name is evidence.
    fn of_text(name: &[u8], data: &[u8], context: &Context) -> Self {
        match std::str::from_utf8(name).ok().and_then(rule) {
            Some(EventRule::Ping) => Self::Ping,
            Some(EventRule::Failed(_)) => Self::failed(data, context),
            _ => Self::Unknown,
        }
    }

    /// Classifies the data of an event by the rule of its type.
    fn by_rule(rule: &EventRule, value: &[u8], context: &Context) -> Self {
        match *rule {
            EventRule::Ping => Self::Ping,
            EventRule::Preamble => Self::Preamble,
            EventRule::Final => Self::Final,
            EventRule::FinalIf(path) => match at(value, path).and_then(json::plain_text) {
                Some(reason) if is_failing(reason) => FAILED,
                Some(_) => Self::Final,
                None => Self::Unknown,
            },
            EventRule::Failed(path) => Self::failed(at(value, path).unwrap_or_default(), context),
            EventRule::Block(path, preamble) => {
                let block = at(value, path).and_then(json::plain_text);
                Self::preamble_if(block.is_some_and(|block| preamble.contains(&block)))
            }
            EventRule::Delta(field) => {
                Self::preamble_if(json::field(value, field).is_some_and(is_empty_delta))
            }
        }
    }

    /// The choices of a completion. Its usage comes last, without any choice.
    fn of_choices(list: &[u8], table: &Choices, context: &Context) -> Self {
        let (mut begun, mut ended, mut visible) = (0, 0, false);
        let (mut error, mut failing) = (None, false);
        let _ = json::items(list, |item| {
            let choice = Choice::read(item, table);
            begun |= choice.bit;
            visible |= choice.visible;
            // Some relays send an empty reason, or the text "null", with every piece.
            if !matches!(choice.reason, "" | "null") {
                ended |= choice.bit;
                failing |= is_failing(choice.reason);
            }
            // An event may have thousands of choices. One error is classified.
            error = error.or(choice.error);
        });
        match error {
            Some(error) => Self::failed(error, context),
            None if failing => FAILED,
            None => Self::Choices {
                begun,
                ended,
                visible,
            },
        }
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

impl<'a> Event<'a> {
    /// Reads the top level of an event, or returns `None` if it is no object.
    fn read(value: &'a [u8]) -> Option<Self> {
        let mut event = Self::default();
        json::fields(value, |name, value| {
            event.failed |= is_failure(name, value);
            match name {
                b"type" => event.kind = json::plain_text(value),
                b"object" => event.may_be_bare |= value == b"\"error\"",
                b"code" => event.may_be_bare = true,
                b"promptFeedback" => event.blocked = is_block(value),
                _ if value.starts_with(b"[") => {
                    event.list = choices_of(name).map(|table| (value, table)).or(event.list);
                }
                _ => {}
            }
        })?;
        Some(event)
    }

    /// Returns the kind of the event. An error precedes the type, and the type the name.
    fn kind(self, name: &[u8], value: &'a [u8], context: &Context) -> EventKind {
        if self.failed {
            return EventKind::failed(value, context);
        }
        let named = std::str::from_utf8(name).ok();
        let kind = self.kind.or(named.filter(|name| !name.is_empty()));
        if let Some(rule) = kind.and_then(rule) {
            return EventKind::by_rule(rule, value, context);
        }
        match self.list {
            Some((list, table)) => EventKind::of_choices(list, table, context),
            None if self.blocked => EventKind::Final,
            None if self.may_be_bare && is_bare(value) => EventKind::failed(value, context),
            None => EventKind::Unknown,
        }
    }
}

/// Returns the table with a list of this name.
fn choices_of(name: &[u8]) -> Option<&'static Choices> {
    let mut all = FIELD_ROWS.choices.iter().copied();
    all.find(|table| table.list.as_bytes() == name)
}

/// Returns whether Gemini has blocked the prompt. It sends this in place of candidates, and the
/// endpoint is well.
fn is_block(feedback: &[u8]) -> bool {
    json::field(feedback, "blockReason").is_some_and(is_something)
}

/// A part of one answer, of several in a stream.
#[derive(Default)]
struct Choice<'a> {
    /// Its number as a bit.
    bit: u64,
    /// The reason of its end, or an empty text.
    reason: &'a str,
    error: Option<&'a [u8]>,
    visible: bool,
}

impl<'a> Choice<'a> {
    fn read(item: &'a [u8], table: &Choices) -> Self {
        let mut choice = Self {
            bit: 1,
            ..Self::default()
        };
        let _ = json::fields(item, |name, value| {
            if name == b"index" {
                choice.bit = 1 << json::count(value).unwrap_or_default().min(63);
            } else if name == b"error" {
                choice.error = is_something(value).then_some(value);
            } else if name == table.reason.as_bytes() {
                choice.reason = json::plain_text(value).unwrap_or_default();
            } else {
                choice.visible |= is_shown(name, value, table);
            }
        });
        choice
    }
}

/// Returns whether the reader of a choice shows a part of this field.
fn is_shown(name: &[u8], value: &[u8], table: &Choices) -> bool {
    let mut shown = false;
    for (_, inner) in kept(table.shown).filter(|(outer, _)| outer.as_bytes() == name) {
        if inner.is_empty() {
            shown |= is_something(value);
        } else {
            let is_inner = |name: &[u8]| kept(inner).any(|inner| inner.as_bytes() == name);
            let _ = json::fields(value, |name, value| {
                shown |= is_inner(name) && is_something(value);
            });
        }
    }
    shown
}

/// Returns whether an answer that ends for this reason has failed.
fn is_failing(reason: &str) -> bool {
    rows(|dialect| dialect.failing).any(|failing| reason == *failing)
}

/// Returns the value in a field, as written.
fn at(value: &[u8], path: Path) -> Option<&[u8]> {
    (path.iter()).try_fold(value, |value, field| json::field(value, field))
}

/// The rule of the events with this `type` or name.
fn rule(name: &str) -> Option<&'static EventRule> {
    let matches = |row: &str| match row.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == row,
    };
    let mut all = rows(|dialect| dialect.events);
    all.find(|(row, _)| matches(row)).map(|(_, rule)| rule)
}

/// Whether a piece of an answer is present and empty.
fn is_empty_delta(delta: &[u8]) -> bool {
    if !delta.starts_with(b"{") {
        return delta == b"\"\"";
    }
    let mut empty = true;
    let _ = json::fields(delta, |name, value| {
        empty &= name == b"type" || !is_something(value);
    });
    empty
}

/// Returns whether an object is an error without a field `error`.
fn is_bare(value: &[u8]) -> bool {
    value.len() <= MAX_ERROR
        && serde_json::from_slice::<Value>(value).is_ok_and(|value| is_bare_error(&value))
}

#[cfg(test)]
mod tests;
