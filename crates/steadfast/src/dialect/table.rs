//! The columns of the tables.

use std::time::Duration;

use serde_json::Value;
use steadfast_core::{Class, Scope};

/// The names of the fields that lead from a JSON value to another.
pub(crate) type Path = &'static [&'static str];

/// Returns the value in a field, or null.
pub(crate) fn at(value: &Value, path: Path) -> &Value {
    path.iter().fold(value, |value, field| &value[field])
}

/// The format of one provider.
pub(crate) struct Dialect {
    /// The prefixes of its rate-limit headers, which core reads.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "core finds the family by the header itself")
    )]
    pub(crate) limit_headers: &'static [&'static str],
    /// The headers with the code of an error.
    pub(crate) code_headers: &'static [&'static str],
    /// The fields with the codes and types of an error. A code `a#b` is also a code `b`.
    pub(crate) code_fields: &'static [Path],
    /// The fields with the texts of an error.
    pub(crate) text_fields: &'static [Path],
    /// The fields with a hint, and their format.
    pub(crate) hint_fields: &'static [(Path, HintFormat)],
    /// The fields of an answer with a number that is zero unless the request failed. Such a number
    /// is the code `status_code=7`, if the field is `status_code`.
    pub(crate) status_fields: &'static [Path],
    /// The field of an error with copied response headers.
    pub(crate) header_field: Option<Path>,
    /// The fields of error details.
    pub(crate) details: Option<Details>,
    /// Codes and types in lower case, by the class that each one proves.
    pub(crate) codes: &'static [(Class, &'static [&'static str])],
    /// Texts and the class that each one proves, where there is no code for it.
    pub(crate) phrases: &'static [Phrase],
    /// The starts of texts, in lower case, that report a limit of the whole account.
    pub(crate) account_texts: &'static [&'static str],
    /// Values of an event's `type`. The first row that matches applies. A `*` at the end stands for
    /// any rest.
    pub(crate) events: &'static [(&'static str, EventRule)],
    /// The reasons of an end that is a failure.
    pub(crate) failing: &'static [&'static str],
    /// The fields of an event without `type`.
    pub(crate) choices: Option<Choices>,
    /// Ends of paths, and the fields of which a whole answer has at least one. Its value is an
    /// object or an array.
    pub(crate) answers: &'static [(&'static str, &'static [&'static str])],
    /// The fields of an answer that count its tokens.
    pub(crate) usage: Option<Usage>,
    /// Paths below the request root, and everything below them. A `*` at the start of a stateless
    /// path stands for any start.
    pub(crate) paths: &'static [(&'static str, PathRule)],
}

/// The conditions that prove the class of an error, beyond a code of the table. All must hold.
///
/// If the class concerns other requests, a text that the request contains proves nothing.
///
/// A condition on the start of a text is preferred. Further on, a text may repeat the model, the
/// prompt or another part of the request, and such a repetition proves nothing.
#[derive(Clone, Copy)]
pub(crate) struct Phrase {
    pub(crate) class: Class,
    /// The state that the error concerns, if it differs from the one of the class.
    pub(crate) scope: Option<Scope>,
    /// The hint, if the error has none of its own.
    pub(crate) hint: Option<Duration>,
    /// Whether this row precedes the codes, and all rows without this mark.
    pub(crate) first: bool,
    pub(crate) given: Given,
    /// The statuses of the answer. Any, if there are none.
    pub(crate) statuses: &'static [u16],
    pub(crate) codes: Codes,
    /// The start of a text, in lower case. The rest of a text may repeat input of the caller.
    pub(crate) begins: &'static str,
    /// A part of a text, in lower case.
    pub(crate) contains: &'static str,
}

/// The evidence that a status or a code must give before a text counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// Nothing is required.
    Any,
    /// The status alone means `CallerFault`.
    CallerFault,
    /// The status is `404`.
    NotFound,
    /// The status or a code proves a rate limit.
    RateLimited,
    /// The status may belong to a refusal for a spent quota.
    Refusal,
    /// The status alone means `ServerError`, or the error came after `200`.
    ServerError,
}

/// The codes that an error must have before a text counts.
#[derive(Clone, Copy)]
pub(crate) enum Codes {
    Any,
    /// One of its codes is among these.
    One(&'static [&'static str]),
    /// Its codes are exactly these, in this order.
    Exactly(&'static [&'static str]),
}

/// The format of a hint in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HintFormat {
    /// A number of seconds, or a text such as `46s`.
    Delay,
    /// A number of milliseconds.
    Millis,
    /// An instant: a number since 1970, or a date.
    Instant,
}

/// The fields of a list of error details.
pub(crate) struct Details {
    /// The field with the list.
    pub(crate) list: &'static str,
    /// How long to wait, as a duration such as `46s`.
    pub(crate) delay: &'static str,
    /// A code.
    pub(crate) code: &'static str,
    /// The list of violated quotas, and the name of each.
    pub(crate) quotas: &'static str,
    pub(crate) quota: &'static str,
    /// The dimension of a quota that applies to one model.
    pub(crate) model: Path,
    /// The part of the name of a quota that is spent until the next day.
    pub(crate) daily: &'static str,
    /// The code that such a quota stands for.
    pub(crate) daily_code: &'static str,
}

/// The kind of the events of one `type`.
pub(crate) enum EventRule {
    /// The server is alive.
    Ping,
    /// Something before the answer.
    Preamble,
    /// The end of the answer.
    Final,
    /// The end of the answer if this field is a text.
    FinalIf(Path),
    /// An error, which is in this field.
    Failed(Path),
    /// A block with its type in this field. These types are preamble, others are visible.
    Block(Path, &'static [&'static str]),
    /// A piece of the answer in this field. An empty piece is preamble.
    Delta(&'static str),
}

/// The fields of an event that carries pieces of several answers.
pub(crate) struct Choices {
    pub(crate) list: &'static str,
    /// The field of a choice with the reason of its end.
    pub(crate) reason: &'static str,
    /// The fields of a choice that its reader shows, and the fields in them. Without the latter,
    /// the whole field is shown.
    pub(crate) shown: &'static [(&'static str, &'static [&'static str])],
}

/// The counts of tokens in a whole answer.
pub(crate) struct Usage {
    pub(crate) field: &'static str,
    pub(crate) input: &'static str,
    pub(crate) output: &'static str,
}

/// What a path means for the choice of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathRule {
    /// A `POST` to exactly this path generates something and stores nothing.
    Stateless,
    /// The same, unless the body names stored state or starts a job. The answer is stored unless
    /// the body forbids it.
    StoredUnlessForbidden,
    /// The path names something that is stored at one endpoint.
    Stateful,
}

impl Dialect {
    /// A table without rows.
    pub(crate) const NONE: Self = Self {
        limit_headers: &[],
        code_headers: &[],
        code_fields: &[],
        text_fields: &[],
        hint_fields: &[],
        status_fields: &[],
        header_field: None,
        details: None,
        codes: &[],
        phrases: &[],
        account_texts: &[],
        events: &[],
        failing: &[],
        choices: None,
        answers: &[],
        usage: None,
        paths: &[],
    };
}

impl Phrase {
    /// An error with a text that begins with `phrase`.
    pub(crate) const fn begins(phrase: &'static str, given: Given, class: Class) -> Self {
        Self {
            class,
            scope: None,
            hint: None,
            first: false,
            given,
            statuses: &[],
            codes: Codes::Any,
            begins: phrase,
            contains: "",
        }
    }

    /// A text that contains `phrase`, for an error that the status calls the caller's fault.
    pub(crate) const fn contains(phrase: &'static str, class: Class) -> Self {
        Self::begins("", Given::CallerFault, class).and_contains(phrase)
    }

    /// The same text, for errors with certain codes only.
    pub(crate) const fn with_codes(self, codes: Codes) -> Self {
        Self { codes, ..self }
    }

    /// The same text, for certain statuses only.
    pub(crate) const fn with_statuses(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }

    /// The same text, if it also contains `phrase`.
    pub(crate) const fn and_contains(self, phrase: &'static str) -> Self {
        Self {
            contains: phrase,
            ..self
        }
    }

    /// The same error, which precedes other evidence.
    pub(crate) const fn first(self) -> Self {
        Self {
            first: true,
            ..self
        }
    }

    /// The same error, which concerns this state.
    pub(crate) const fn with_scope(self, scope: Scope) -> Self {
        Self {
            scope: Some(scope),
            ..self
        }
    }

    /// The same error, with a hint if it has none.
    pub(crate) const fn with_hint(self, seconds: u64) -> Self {
        Self {
            hint: Some(Duration::from_secs(seconds)),
            ..self
        }
    }
}
