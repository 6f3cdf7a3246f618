//! Errors and limits of Mistral. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}
//! ```

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Mistral.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["ratelimitbysize-", "x-ratelimitbysize-", "x-ratelimit-"],
    codes: &[
        (Class::RateLimited, &["rate_limited"]),
        (Class::ModelUnavailable, &["invalid_model"]),
    ],
    ..Dialect::NONE
};
