//! Errors of Moonshot. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"error": {"type": "rate_limit_reached_error", "message": "request reached organization max RPM: 3, …"}}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Moonshot, which limits all models of an organization together.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (Class::QuotaExhausted, &["exceeded_current_quota_error"]),
        (Class::RateLimited, &["rate_limit_reached_error"]),
        (Class::Overloaded, &["engine_overloaded_error"]),
    ],
    account_texts: &["your account ", "request reached organization "],
    phrases: &[
        Phrase::contains("exceeded model token limit", Class::ContextTooLong),
        Phrase::begins(
            "not found the model",
            Given::NotFound,
            Class::ModelUnavailable,
        ),
    ],
    ..Dialect::NONE
};
