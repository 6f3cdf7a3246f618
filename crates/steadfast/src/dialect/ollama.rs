//! Errors of Ollama.
//!
//! ```json
//! {"error": "model \"…\" not found, try pulling it first"}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// Ollama, also behind its API that is compatible with OpenAI.
pub(crate) static DIALECT: Dialect = Dialect {
    phrases: &[
        Phrase::begins("model \"", Given::NotFound, Class::ModelUnavailable)
            .and_contains("not found"),
        Phrase::begins(
            "model requires more system memory",
            Given::ServerError,
            Class::ModelUnavailable,
        ),
        Phrase::begins("server busy", Given::ServerError, Class::Overloaded),
    ],
    ..Dialect::NONE
};
