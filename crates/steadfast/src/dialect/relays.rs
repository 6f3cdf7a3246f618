//! Errors of relays: LiteLLM, One API and their relatives.
//!
//! ```json
//! {"error": {"message": "litellm.ContextWindowExceededError: …", "type": null, "code": "400"}}
//! {"error": {"message": "…", "type": "new_api_error", "code": "insufficient_user_quota"}}
//! ```
//!
//! A relay also repeats the formats of the providers behind it, which have their own tables.

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// LiteLLM, One API and New API.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (
            Class::QuotaExhausted,
            &[
                "budget_exceeded",
                "insufficient_user_quota",
                "pre_consume_token_quota_failed",
            ],
        ),
        (Class::RateLimited, &["throttling_error"]),
        (
            Class::Overloaded,
            &["channel:no_available_key", "get_channel_failed"],
        ),
    ],
    phrases: &[
        Phrase::contains("contextwindowexceedederror", Class::ContextTooLong),
        Phrase::contains("contentpolicyviolationerror", Class::ContentPolicy),
        Phrase::begins(
            "litellm.ratelimiterror",
            Given::ServerError,
            Class::RateLimited,
        ),
        Phrase::begins("litellm.timeout", Given::Any, Class::Timeout).with_statuses(&[408, 500]),
    ],
    ..Dialect::NONE
};
