//! Errors of vLLM. Other rows are in the table of OpenAI.
//!
//! ```json
//! {"object": "error", "message": "The model `…` does not exist.", "type": "NotFoundError", "code": 404}
//! ```

use steadfast_core::Class;

use crate::dialect::table::{Codes, Dialect, Phrase};

/// vLLM.
///
/// A lone code `400` proves nothing: vLLM sends it in a stream when its engine fails.
pub(crate) static DIALECT: Dialect = Dialect {
    phrases: &[Phrase::contains("model", Class::ModelUnavailable)
        .with_codes(Codes::One(&["notfounderror"]))],
    ..Dialect::NONE
};
