//! The list of all tables.

use crate::dialect::table::Dialect;
use crate::dialect::{anthropic, aws, azure, gemini, groq, mistral, openai, openrouter, vllm};

/// The tables that the interpreter reads. Of two rows that match, the first one applies.
pub(crate) static DIALECTS: [&Dialect; 9] = [
    &openai::DIALECT,
    &anthropic::DIALECT,
    &gemini::DIALECT,
    &azure::DIALECT,
    &aws::DIALECT,
    &groq::DIALECT,
    &mistral::DIALECT,
    &openrouter::DIALECT,
    &vllm::DIALECT,
];

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use std::time::SystemTime;
    use steadfast_core::RateLimit;

    #[test]
    fn header_family_of_each_dialect_is_read_by_core() {
        let families = DIALECTS.iter().flat_map(|dialect| dialect.limit_headers);
        for family in families {
            let name = HeaderName::try_from(format!("{family}remaining")).expect("a name");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("7"))]);
            let limit = RateLimit::from_headers(&headers, SystemTime::now());
            let remaining: Vec<_> = limit.buckets().map(|bucket| bucket.remaining()).collect();
            assert_eq!(remaining, [Some(7)], "{family}");
        }
    }

    /// The interpreter compares in lower case, so another row would never match.
    #[test]
    fn codes_and_phrases_are_in_lower_case() {
        for dialect in DIALECTS {
            let codes = dialect.codes.iter().map(|(code, _)| *code);
            let texts = (dialect.phrases.iter()).flat_map(|row| [row.begins, row.contains]);
            for text in codes.chain(texts) {
                assert_eq!(text, text.to_ascii_lowercase());
            }
        }
    }
}
