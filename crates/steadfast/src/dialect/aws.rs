//! Errors of Amazon Bedrock. Core reads its header `x-amzn-errortype`.

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Amazon Bedrock.
pub(crate) static DIALECT: Dialect = Dialect {
    code_fields: &[&["__type"]],
    codes: &[
        ("servicequotaexceededexception", Class::QuotaExhausted),
        ("throttlingexception", Class::RateLimited),
    ],
    phrases: &[Phrase::begins(
        "too many tokens per day",
        Given::RateLimited,
        Class::QuotaExhausted,
    )],
    ..Dialect::NONE
};
