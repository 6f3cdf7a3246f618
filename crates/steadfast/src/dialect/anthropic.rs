//! Errors, limits, events and paths of Anthropic.
//!
//! ```json
//! {"type": "error", "error": {"type": "rate_limit_error", "message": "…"}, "request_id": "req_…"}
//! ```
//!
//! A spend limit is a `429` with `details.error_code` and without `retry-after`.

use steadfast_core::Class;

use crate::dialect::table::EventRule::{Block, Delta, Final, FinalIf, Ping, Preamble};
use crate::dialect::table::PathRule::{Stateful, Stateless};
use crate::dialect::table::{Codes, Dialect, Given, Phrase, Usage};

/// Anthropic.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["anthropic-ratelimit-", "anthropic-priority-"],
    code_fields: &[&["details", "error_code"]],
    codes: &[
        (
            Class::QuotaExhausted,
            &[
                "billing_error",
                "contract_spend_limit_reached",
                "enforced_spend_limit_reached",
            ],
        ),
        (Class::RateLimited, &["rate_limit_error"]),
        (Class::Overloaded, &["overloaded_error", "529"]),
        (Class::ContextTooLong, &["request_too_large"]),
        (
            Class::Unauthorized,
            &["authentication_error", "permission_error"],
        ),
    ],
    phrases: &[
        // The code reports only an invalid request.
        Phrase::begins(
            "your credit balance is too low",
            Given::CallerFault,
            Class::QuotaExhausted,
        )
        .with_codes(Codes::Exactly(&["error", "invalid_request_error"])),
        Phrase::contains("prompt is too long", Class::ContextTooLong),
        Phrase::contains("model", Class::ModelUnavailable)
            .with_codes(Codes::One(&["not_found_error"])),
    ],
    events: &[
        ("message_stop", Final),
        // The reason why the answer ended.
        ("message_delta", FinalIf(&["delta", "stop_reason"])),
        ("ping", Ping),
        ("message_start", Preamble),
        ("content_block_stop", Preamble),
        (
            "content_block_start",
            Block(&["content_block", "type"], &["text", "thinking"]),
        ),
        ("content_block*", Delta("delta")),
    ],
    answers: &[("messages", &["content"])],
    usage: Some(Usage {
        field: "usage",
        input: "input_tokens",
        output: "output_tokens",
    }),
    paths: &[
        ("messages", Stateless),
        ("messages/count_tokens", Stateless),
        ("messages/batches", Stateful),
    ],
    ..Dialect::NONE
};
