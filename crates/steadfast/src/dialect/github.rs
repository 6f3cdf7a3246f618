//! Errors of GitHub Models and of APIs with the limits of GitHub.
//!
//! ```json
//! {"error": {"code": "RateLimitReached", "message": "Rate limit of 10 per 60s exceeded for
//!            UserByModelByMinute. Please wait 23 seconds before retrying."}}
//! {"message": "You have exceeded a secondary rate limit. …"}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// GitHub. The status of a secondary limit is `403`.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (Class::QuotaExhausted, &["budgetexceeded"]),
        (Class::RateLimited, &["ratelimitreached"]),
        (Class::ContextTooLong, &["tokens_limit_reached"]),
        (
            Class::ModelUnavailable,
            &["unavailable_model", "unknown_model"],
        ),
    ],
    phrases: &[
        Phrase::begins(
            "you have exceeded a secondary rate limit",
            Given::Any,
            Class::RateLimited,
        )
        .with_statuses(&[403]),
        Phrase::begins("api rate limit exceeded", Given::Any, Class::RateLimited)
            .with_statuses(&[403]),
    ],
    ..Dialect::NONE
};
