//! Errors and limits of Groq. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"error": {"message": "Request too large for model `…` … Limit 6000, Requested 12328, …",
//!            "type": "tokens", "code": "rate_limit_exceeded"}}
//! ```
//!
//! Its limits of requests are per day, its limits of tokens per minute.

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Groq, where it differs from OpenAI.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    codes: &[
        (
            Class::QuotaExhausted,
            &["blocked_api_access", "organization_restricted"],
        ),
        (
            Class::ModelUnavailable,
            &["model_decommissioned", "model_terms_required"],
        ),
    ],
    // The request exceeds the limit of a minute by itself. Smaller requests pass.
    phrases: &[Phrase::begins(
        "request too large for model",
        Given::Any,
        Class::ContextTooLong,
    )
    .with_statuses(&[413, 429])
    .first()],
    ..Dialect::NONE
};
