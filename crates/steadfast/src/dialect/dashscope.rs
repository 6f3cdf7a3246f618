//! Errors of DashScope (Alibaba Model Studio).
//!
//! ```json
//! {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded, …", "request_id": "…"}
//! ```
//!
//! A stream reports the same in an event `error`, with the status in a comment.

use steadfast_core::Class;

use crate::dialect::table::{Codes, Dialect, Given, Phrase};

/// DashScope, also in its mode that is compatible with OpenAI.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (
            Class::QuotaExhausted,
            &["arrearage", "allocationquota.freetieronly"],
        ),
        (
            Class::RateLimited,
            &[
                "throttling",
                "throttling.allocationquota",
                "throttling.burstrate",
                "throttling.ratequota",
                "limit_requests",
                "limit_burst_rate",
            ],
        ),
        (
            Class::ContentPolicy,
            &["datainspectionfailed", "data_inspection_failed"],
        ),
        (
            Class::ModelUnavailable,
            &["modelnotfound", "model.accessdenied"],
        ),
        (Class::Unauthorized, &["invalidapikey"]),
        (Class::CallerFault, &["invalidparameter"]),
    ],
    phrases: &[
        // The code of a spent quota also reports a limit of tokens per minute.
        Phrase::begins("", Given::RateLimited, Class::RateLimited)
            .and_contains("error-code#token-limit")
            .with_codes(Codes::One(&["insufficient_quota"]))
            .with_hint(60)
            .first(),
        Phrase::contains("range of input length should be", Class::ContextTooLong),
    ],
    ..Dialect::NONE
};
