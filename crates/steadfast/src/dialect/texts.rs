//! The words of all tables, for tests.
//!
//! A test of repeated requests lives in another crate. A copy of the tables there would miss the
//! next row, so this function reads the tables themselves.

use crate::dialect::dialects::DIALECTS;

/// Returns every code and phrase of the tables.
///
/// Both parts of a phrase are separate texts. The texts are in lower case, except for the names of
/// quotas, in order and without repetition.
///
/// This function is not part of the API.
#[must_use]
pub fn dialect_texts() -> Vec<&'static str> {
    let mut texts = Vec::new();
    for dialect in DIALECTS {
        texts.extend(dialect.codes.iter().flat_map(|(_, codes)| *codes));
        texts.extend(dialect.account_texts);
        let phrases = dialect.phrases.iter();
        texts.extend(phrases.flat_map(|row| [row.begins, row.contains]));
        if let Some(details) = &dialect.details {
            texts.extend([details.daily, details.daily_code]);
        }
    }
    texts.retain(|text| !text.is_empty());
    texts.sort_unstable();
    texts.dedup();
    texts
}
