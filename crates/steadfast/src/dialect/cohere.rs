//! Errors, events and answers of Cohere.
//!
//! ```json
//! {"message": "You are using a Trial key, which is limited to 1000 API calls / month. …"}
//! ```
//!
//! There are no codes, so the texts decide.

use steadfast_core::Class;

use crate::dialect::table::EventRule::{Delta, FinalIf, Preamble};
use crate::dialect::table::PathRule::Stateless;
use crate::dialect::table::{Dialect, Given, Phrase};

/// Cohere.
pub(crate) static DIALECT: Dialect = Dialect {
    phrases: &[
        Phrase::begins(
            "you are using a trial key",
            Given::RateLimited,
            Class::QuotaExhausted,
        )
        .and_contains("/ month"),
        Phrase::begins(
            "too many tokens:",
            Given::CallerFault,
            Class::ContextTooLong,
        ),
        Phrase::begins("model '", Given::NotFound, Class::ModelUnavailable)
            .and_contains("not found"),
    ],
    failing: &["ERROR"],
    events: &[
        ("message-start", Preamble),
        ("content-start", Preamble),
        ("content-end", Preamble),
        ("content-delta", Delta("delta")),
        ("tool-plan-delta", Delta("delta")),
        ("tool-call-*", Delta("delta")),
        ("citation-*", Preamble),
        ("message-end", FinalIf(&["delta", "finish_reason"])),
    ],
    paths: &[
        ("v2/chat", Stateless),
        ("embed", Stateless),
        ("v2/embed", Stateless),
        ("rerank", Stateless),
        ("v2/rerank", Stateless),
    ],
    answers: &[("v2/chat", &["message"])],
    ..Dialect::NONE
};
