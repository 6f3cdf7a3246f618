//! Errors of Zhipu, which have numbers as codes.
//!
//! ```json
//! {"error": {"code": "1113", "message": "…"}}
//! ```
//!
//! A relay puts the number into the `type`.

use steadfast_core::Class;

use crate::dialect::table::Dialect;

/// Zhipu, also under the name Z.AI.
pub(crate) static DIALECT: Dialect = Dialect {
    codes: &[
        (
            Class::QuotaExhausted,
            &["1113", "1304", "1308", "1309", "1310"],
        ),
        (Class::ContextTooLong, &["1261"]),
        (Class::ContentPolicy, &["1301"]),
        (Class::RateLimited, &["1302", "1303"]),
        (Class::Overloaded, &["1305", "1312"]),
    ],
    ..Dialect::NONE
};
