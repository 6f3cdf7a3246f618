//! Errors of Together. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"error": {"message": "…", "type": "model_rate_limit", "param": null, "code": null}}
//! ```

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Together.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (Class::QuotaExhausted, &["credit_limit"]),
        (
            Class::RateLimited,
            &[
                "rate_limit",
                "model_rate_limit",
                "dynamic_request_limited",
                "dynamic_token_limited",
            ],
        ),
    ],
    ..Dialect::NONE
};
