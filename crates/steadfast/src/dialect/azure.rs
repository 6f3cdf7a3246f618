//! Errors and limits of Azure OpenAI. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"error": {"code": "429", "message": "Requests to the … have exceeded … Please retry after 37 seconds."}}
//! {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
//! ```

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Azure OpenAI, where it differs from OpenAI.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    code_fields: &[&["innererror", "code"]],
    codes: &[
        (Class::RateLimited, &["429"]),
        (
            Class::ContentPolicy,
            &["content_filter", "responsibleaipolicyviolation"],
        ),
        (Class::ModelUnavailable, &["deploymentnotfound"]),
    ],
    ..Dialect::NONE
};
