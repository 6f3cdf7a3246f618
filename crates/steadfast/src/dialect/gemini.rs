//! Errors and events of Google Gemini.
//!
//! ```json
//! {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "…", "details": [
//!   {"violations": [{"quotaId": "GenerateRequestsPerDay…", "quotaDimensions": {"model": "…"}}]},
//!   {"retryDelay": "46s"}]}}
//! ```
//!
//! There are no headers. A quota of a day is spent, a quota of a minute is a rate limit.

use steadfast_core::{Class, Scope};

use crate::dialect::table::PathRule::Stateless;
use crate::dialect::table::{Choices, Codes, Details, Dialect, Given, Phrase, Usage};

/// Google Gemini, which sends its hint in the body.
pub(crate) static DIALECT: Dialect = Dialect {
    code_fields: &[&["status"]],
    details: Some(Details {
        list: "details",
        delay: "retryDelay",
        code: "reason",
        quotas: "violations",
        quota: "quotaId",
        model: &["quotaDimensions", "model"],
        daily: "PerDay",
        daily_code: "quota_exceeded",
    }),
    codes: &[
        (Class::Timeout, &["deadline_exceeded"]),
        (Class::QuotaExhausted, &["quota_exceeded"]),
        (Class::RateLimited, &["resource_exhausted"]),
        (Class::Overloaded, &["unavailable", "503"]),
        (Class::Unauthorized, &["api_key_invalid", "unauthenticated"]),
        (Class::CallerFault, &["invalid_argument"]),
    ],
    phrases: &[
        // The place of the endpoint, or of the caller: another endpoint may answer.
        Phrase::begins(
            "user location is not supported",
            Given::CallerFault,
            Class::ModelUnavailable,
        )
        .with_codes(Codes::One(&["failed_precondition"]))
        .with_scope(Scope::Request)
        .first(),
        Phrase::contains(
            "exceeds the maximum number of tokens",
            Class::ContextTooLong,
        ),
        Phrase::contains("model", Class::ModelUnavailable).with_codes(Codes::One(&["not_found"])),
    ],
    choices: Some(Choices {
        list: "candidates",
        reason: "finishReason",
        shown: &[("content", &["parts"])],
    }),
    paths: &[
        ("*:generateContent", Stateless),
        ("*:streamGenerateContent", Stateless),
        ("*:embedContent", Stateless),
        ("*:batchEmbedContents", Stateless),
        ("*:countTokens", Stateless),
    ],
    answers: &[
        (":generateContent", &["candidates", "promptFeedback"]),
        (":streamGenerateContent", &["candidates", "promptFeedback"]),
    ],
    usage: Some(Usage {
        field: "usageMetadata",
        input: "promptTokenCount",
        output: "candidatesTokenCount",
    }),
    ..Dialect::NONE
};
