//! Errors and limits of Azure OpenAI. Other rows are in the table of OpenAI.

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Azure OpenAI, where it differs from OpenAI.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    code_fields: &[&["innererror", "code"]],
    codes: &[
        ("429", Class::RateLimited),
        ("content_filter", Class::ContentPolicy),
        ("responsibleaipolicyviolation", Class::ContentPolicy),
        ("deploymentnotfound", Class::ModelUnavailable),
    ],
    ..Dialect::NONE
};
