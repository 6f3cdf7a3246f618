//! Errors of MiniMax, which come in a `200` and have a number.
//!
//! ```json
//! {"id": "…", "choices": null, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}
//! ```
//!
//! The number is zero in each answer that succeeds.

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// MiniMax. Relays repeat its number in a text, after `insufficient balance`.
pub(crate) static DIALECT: Dialect = Dialect {
    text_fields: &[&["base_resp", "status_msg"]],
    status_fields: &[&["base_resp", "status_code"]],
    codes: &[
        (Class::Timeout, &["status_code=1001"]),
        (
            Class::RateLimited,
            &["status_code=1002", "status_code=1039"],
        ),
        (Class::Unauthorized, &["status_code=1004"]),
        (
            Class::QuotaExhausted,
            &["status_code=1008", "status_code=2056"],
        ),
        (
            Class::ContentPolicy,
            &["status_code=1026", "status_code=1027"],
        ),
        (Class::CallerFault, &["status_code=2013"]),
    ],
    ..Dialect::NONE
};
