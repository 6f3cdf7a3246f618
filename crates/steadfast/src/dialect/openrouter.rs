//! Errors and limits of OpenRouter. Other rows are in the table of OpenAI.

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// OpenRouter, which copies the headers of the provider behind it into the body.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    header_field: Some(&["metadata", "headers"]),
    phrases: &[Phrase::begins(
        "rate limit exceeded: free-models-per-day",
        Given::RateLimited,
        Class::QuotaExhausted,
    )],
    ..Dialect::NONE
};
