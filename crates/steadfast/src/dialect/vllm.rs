//! Errors of vLLM. Other rows are in the table of OpenAI.

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
