//! Errors of Amazon Bedrock. Core reads its header `x-amzn-errortype`.
//!
//! ```json
//! {"__type": "com.amazonaws…#ThrottlingException", "message": "Too many requests, please wait …"}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Amazon Bedrock.
pub(crate) static DIALECT: Dialect = Dialect {
    code_headers: &["x-amzn-errortype"],
    code_fields: &[&["__type"]],
    codes: &[
        (Class::QuotaExhausted, &["servicequotaexceededexception"]),
        (
            Class::RateLimited,
            &["throttlingexception", "toomanyrequestsexception"],
        ),
        (Class::Overloaded, &["serviceunavailableexception"]),
        (Class::ModelUnavailable, &["resourcenotfoundexception"]),
        (Class::Timeout, &["modeltimeoutexception"]),
        (
            Class::ServerError,
            &["modelerrorexception", "modelstreamerrorexception"],
        ),
    ],
    phrases: &[
        Phrase::begins(
            "too many tokens per day",
            Given::RateLimited,
            Class::QuotaExhausted,
        ),
        Phrase::begins(
            "input is too long for requested model",
            Given::CallerFault,
            Class::ContextTooLong,
        ),
        Phrase::begins(
            "the provided model identifier is invalid",
            Given::CallerFault,
            Class::ModelUnavailable,
        ),
        Phrase::begins(
            "you don't have access to the model",
            Given::Any,
            Class::ModelUnavailable,
        )
        .with_statuses(&[403]),
    ],
    ..Dialect::NONE
};
