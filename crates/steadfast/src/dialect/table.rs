//! The columns of the tables.

use serde_json::Value;
use steadfast_core::Class;

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
    /// The fields with the codes and types of an error.
    pub(crate) code_fields: &'static [Path],
    /// The fields with the texts of an error.
    pub(crate) text_fields: &'static [Path],
    /// The field of an error with copied response headers.
    pub(crate) header_field: Option<Path>,
    /// The fields of error details.
    pub(crate) details: Option<Details>,
    /// Codes and types in lower case, and the class that each one proves.
    pub(crate) codes: &'static [(&'static str, Class)],
    /// Texts and the class that each one proves, where there is no code for it.
    pub(crate) phrases: &'static [Phrase],
    /// The starts of texts, in lower case, that report a limit of the whole account.
    pub(crate) account_texts: &'static [&'static str],
    /// Values of an event's `type`. The first row that matches applies. A `*` at the end stands for
    /// any rest.
    pub(crate) events: &'static [(&'static str, EventRule)],
    /// The fields of an event without `type`.
    pub(crate) choices: Option<Choices>,
    /// Paths below the request root, and everything below them.
    pub(crate) paths: &'static [(&'static str, PathRule)],
}

/// A text that proves the class of an error. All conditions must hold.
///
/// If the class concerns other requests, a text that the request contains proves nothing.
///
/// A condition on the start of a text is preferred. Further on, a text may repeat the model, the
/// prompt or another part of the request, and such a repetition proves nothing.
pub(crate) struct Phrase {
    pub(crate) class: Class,
    pub(crate) given: Given,
    pub(crate) codes: Codes,
    /// The start of a text, in lower case. The rest of a text may repeat input of the caller.
    pub(crate) begins: &'static str,
    /// A part of a text, in lower case.
    pub(crate) contains: &'static str,
}

/// The evidence that a status or a code must give before a text counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// The status alone means `CallerFault`.
    CallerFault,
    /// The status is `404`.
    NotFound,
    /// The status or a code proves a rate limit.
    RateLimited,
}

/// The codes that an error must have before a text counts.
pub(crate) enum Codes {
    Any,
    /// One of its codes is among these.
    One(&'static [&'static str]),
    /// Its codes are exactly these, in this order.
    Exactly(&'static [&'static str]),
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
    /// The fields of a choice that its reader shows.
    pub(crate) shown: &'static [Path],
}

/// What a path means for the choice of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathRule {
    /// A `POST` to exactly this path generates something and stores nothing.
    Stateless,
    /// The same, unless the body requests stored state.
    StatelessUnlessStored,
    /// The path names something that is stored at one endpoint.
    Stateful,
}

impl Dialect {
    /// A table without rows.
    pub(crate) const NONE: Self = Self {
        limit_headers: &[],
        code_fields: &[],
        text_fields: &[],
        header_field: None,
        details: None,
        codes: &[],
        phrases: &[],
        account_texts: &[],
        events: &[],
        choices: None,
        paths: &[],
    };
}

impl Phrase {
    /// A text that contains `phrase`, for an error that the status calls the caller's fault.
    pub(crate) const fn contains(phrase: &'static str, class: Class) -> Self {
        Self {
            class,
            given: Given::CallerFault,
            codes: Codes::Any,
            begins: "",
            contains: phrase,
        }
    }

    /// A text that begins with `phrase`.
    pub(crate) const fn begins(phrase: &'static str, given: Given, class: Class) -> Self {
        Self {
            class,
            given,
            codes: Codes::Any,
            begins: phrase,
            contains: "",
        }
    }

    /// The same text, for errors with certain codes only.
    pub(crate) const fn with_codes(self, codes: Codes) -> Self {
        Self { codes, ..self }
    }

    /// The same text, if it also contains `phrase`.
    pub(crate) const fn and_contains(self, phrase: &'static str) -> Self {
        Self {
            contains: phrase,
            ..self
        }
    }
}
