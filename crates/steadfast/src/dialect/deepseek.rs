//! Errors of DeepSeek. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}
//! ```
//!
//! There are no headers and no hints. Relays repeat the message under other statuses.

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// DeepSeek.
pub(crate) static DIALECT: Dialect = Dialect {
    failing: &["insufficient_system_resource"],
    phrases: &[Phrase::begins(
        "insufficient balance",
        Given::Refusal,
        Class::QuotaExhausted,
    )],
    ..Dialect::NONE
};
