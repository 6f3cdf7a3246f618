//! Errors of Hugging Face: its router, and Text Generation Inference.
//!
//! ```json
//! {"error": "Model … is currently loading", "estimated_time": 20.0}
//! {"error": "Model is overloaded", "error_type": "overloaded"}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, HintFormat, Phrase};

/// Hugging Face. The error is a mere text, with its type beside it.
pub(crate) static DIALECT: Dialect = Dialect {
    code_fields: &[&["error_type"]],
    hint_fields: &[(&["estimated_time"], HintFormat::Delay)],
    codes: &[(Class::Overloaded, &["overloaded"])],
    phrases: &[
        Phrase::begins(
            "request failed during generation",
            Given::CallerFault,
            Class::ServerError,
        ),
        Phrase::begins(
            "you have exceeded your monthly included credits",
            Given::Refusal,
            Class::QuotaExhausted,
        ),
        Phrase::contains(
            "`inputs` tokens + `max_new_tokens` must be",
            Class::ContextTooLong,
        ),
        Phrase::begins(
            "input validation error",
            Given::CallerFault,
            Class::ContextTooLong,
        )
        .and_contains("must have less than"),
    ],
    ..Dialect::NONE
};
