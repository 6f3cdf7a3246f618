//! Errors of Fireworks. Other rows are in the tables of OpenAI and Gemini.
//!
//! ```json
//! {"error": {"code": "PRECONDITION_FAILED", "message": "Account … is suspended, possibly due to reaching
//!            the monthly spending limit or failure to pay past invoices."}}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Fireworks. The status of a suspended account is `412`.
pub(crate) static DIALECT: Dialect = Dialect {
    phrases: &[
        Phrase::begins("account ", Given::CallerFault, Class::QuotaExhausted)
            .and_contains("is suspended")
            .with_statuses(&[412]),
    ],
    ..Dialect::NONE
};
