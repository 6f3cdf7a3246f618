//! Errors, limits, events and paths of Anthropic.

use steadfast_core::Class;

use crate::dialect::table::EventRule::{Block, Delta, Final, FinalIf, Ping, Preamble};
use crate::dialect::table::PathRule::{Stateful, Stateless};
use crate::dialect::table::{Codes, Dialect, Given, Phrase};

/// Anthropic.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["anthropic-ratelimit-", "anthropic-priority-"],
    code_fields: &[&["details", "error_code"]],
    codes: &[
        ("billing_error", Class::QuotaExhausted),
        ("contract_spend_limit_reached", Class::QuotaExhausted),
        ("enforced_spend_limit_reached", Class::QuotaExhausted),
        ("rate_limit_error", Class::RateLimited),
        ("overloaded_error", Class::Overloaded),
        ("529", Class::Overloaded),
        ("request_too_large", Class::ContextTooLong),
        ("authentication_error", Class::Unauthorized),
        ("permission_error", Class::Unauthorized),
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
    paths: &[
        ("messages", Stateless),
        ("messages/count_tokens", Stateless),
        ("messages/batches", Stateful),
    ],
    ..Dialect::NONE
};
