//! Errors and limits of Groq. Other rows are in the table of OpenAI.

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Groq, where it differs from OpenAI.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    codes: &[("blocked_api_access", Class::QuotaExhausted)],
    ..Dialect::NONE
};
