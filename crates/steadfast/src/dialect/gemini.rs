//! Errors and events of Google Gemini.

use steadfast_core::Class;

use crate::dialect::table::{Choices, Codes, Details, Dialect, Phrase};

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
        ("quota_exceeded", Class::QuotaExhausted),
        ("resource_exhausted", Class::RateLimited),
        ("unavailable", Class::Overloaded),
        ("503", Class::Overloaded),
        ("api_key_invalid", Class::Unauthorized),
        ("unauthenticated", Class::Unauthorized),
        ("invalid_argument", Class::CallerFault),
    ],
    phrases: &[
        Phrase::contains(
            "exceeds the maximum number of tokens",
            Class::ContextTooLong,
        ),
        Phrase::contains("model", Class::ModelUnavailable).with_codes(Codes::One(&["not_found"])),
    ],
    choices: Some(Choices {
        list: "candidates",
        reason: "finishReason",
        shown: &[&["content", "parts"]],
    }),
    ..Dialect::NONE
};
