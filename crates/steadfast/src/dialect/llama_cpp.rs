//! Errors of llama.cpp.
//!
//! ```json
//! {"error": {"code": 400, "type": "exceed_context_size_error", "message": "…", "n_ctx": 4096}}
//! {"error": {"code": 503, "type": "unavailable_error", "message": "Loading model"}}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Dialect, Given, Phrase};

/// The server of llama.cpp, and the servers on top of it.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (Class::ContextTooLong, &["exceed_context_size_error"]),
        (Class::Overloaded, &["unavailable_error"]),
    ],
    phrases: &[
        Phrase::contains("exceeds the available context size", Class::ContextTooLong),
        Phrase::begins("slot unavailable", Given::ServerError, Class::Overloaded),
    ],
    ..Dialect::NONE
};
