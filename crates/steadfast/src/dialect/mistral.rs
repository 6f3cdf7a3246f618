//! Errors and limits of Mistral. Other rows are in the table of OpenAI.

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Mistral.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["ratelimitbysize-", "x-ratelimitbysize-", "x-ratelimit-"],
    codes: &[("rate_limited", Class::RateLimited)],
    ..Dialect::NONE
};
