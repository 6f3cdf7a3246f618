//! Errors and limits of OpenRouter. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min",
//!            "metadata": {"headers": {"X-RateLimit-Reset": "1741305600000"}, "provider_name": "…"}}}
//! ```

use steadfast_core::{Class, Scope};

use crate::dialect::table::{Dialect, Given, Phrase};

/// OpenRouter, which copies the headers of the provider behind it into the body.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    header_field: Some(&["metadata", "headers"]),
    phrases: &[
        Phrase::begins(
            "no endpoints found",
            Given::NotFound,
            Class::ModelUnavailable,
        ),
        Phrase::begins(
            "no allowed providers",
            Given::NotFound,
            Class::ModelUnavailable,
        ),
        Phrase::begins("", Given::Any, Class::ContentPolicy)
            .and_contains("your input was flagged")
            .with_statuses(&[403]),
        Phrase::begins(
            "rate limit exceeded: free-models-per-day",
            Given::RateLimited,
            Class::QuotaExhausted,
        ),
        // A cheaper request may pass.
        Phrase::begins(
            "this request requires more credits",
            Given::Any,
            Class::QuotaExhausted,
        )
        .and_contains("fewer max_tokens")
        .with_statuses(&[402])
        .with_scope(Scope::Request)
        .first(),
    ],
    ..Dialect::NONE
};
