//! Errors of xAI. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"code": "team-blocked:spending-limit", "error": "You have run out of credits"}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// xAI, which has a sentence as code for most errors.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[(
        Class::QuotaExhausted,
        &["team-blocked:spending-limit", "team-blocked:credits"],
    )],
    phrases: &[
        Phrase::begins(
            "incorrect api key provided",
            Given::CallerFault,
            Class::Unauthorized,
        ),
        Phrase::begins(
            "your newly created team doesn't have any credits",
            Given::Refusal,
            Class::QuotaExhausted,
        ),
        Phrase::begins(
            "you have run out of credits",
            Given::Refusal,
            Class::QuotaExhausted,
        ),
        Phrase::contains(
            "this model's maximum prompt length is",
            Class::ContextTooLong,
        ),
    ],
    ..Dialect::NONE
};
