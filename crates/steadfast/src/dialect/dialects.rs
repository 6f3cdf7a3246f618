//! The list of all tables.

use std::sync::LazyLock;

use http::HeaderName;
use steadfast_core::Class;

use crate::dialect::table::{Choices, Details, Dialect, HintFormat, Path, Phrase, Usage};
use crate::dialect::{
    anthropic, aws, azure, cohere, dashscope, deepseek, fireworks, gemini, github, groq,
    hugging_face, llama_cpp, minimax, mistral, moonshot, ollama, openai, openrouter, proxies,
    relays, together, vllm, xai, zhipu,
};

/// The tables that the interpreter reads. Of two rows that match, the first one applies.
pub(crate) static DIALECTS: [&Dialect; 24] = [
    &openai::DIALECT,
    &anthropic::DIALECT,
    &gemini::DIALECT,
    &aws::DIALECT,
    &azure::DIALECT,
    &cohere::DIALECT,
    &dashscope::DIALECT,
    &deepseek::DIALECT,
    &fireworks::DIALECT,
    &github::DIALECT,
    &groq::DIALECT,
    &hugging_face::DIALECT,
    &llama_cpp::DIALECT,
    &minimax::DIALECT,
    &mistral::DIALECT,
    &moonshot::DIALECT,
    &ollama::DIALECT,
    &openrouter::DIALECT,
    &proxies::DIALECT,
    &relays::DIALECT,
    &together::DIALECT,
    &vllm::DIALECT,
    &xai::DIALECT,
    &zhipu::DIALECT,
];

/// Returns the rows of one kind, of all tables.
pub(crate) fn rows<T: 'static>(
    of: impl Fn(&'static Dialect) -> &'static [T],
) -> impl Iterator<Item = &'static T> {
    DIALECTS.iter().flat_map(move |dialect| kept(of(dialect)))
}

/// Returns the rows of one list.
pub(crate) fn kept<T>(list: &'static [T]) -> impl Iterator<Item = &'static T> {
    list.iter().filter(|row| !is_deleted(*row))
}

/// The rows that are read for each event, answer or error.
///
/// A search of all tables takes ten times as long.
pub(crate) struct FieldRows {
    /// The headers with the code of an error.
    pub(crate) code_headers: Vec<HeaderName>,
    /// The fields of an error.
    pub(crate) code_fields: Vec<Path>,
    pub(crate) text_fields: Vec<Path>,
    pub(crate) hint_fields: Vec<(Path, HintFormat)>,
    pub(crate) header_fields: Vec<Path>,
    pub(crate) details: Vec<&'static Details>,
    pub(crate) phrases: Vec<&'static Phrase>,
    /// The codes of all tables, by the class that they prove.
    codes: Vec<(Class, Vec<&'static str>)>,
    /// The fields of an answer or an error.
    pub(crate) status_fields: Vec<Path>,
    /// The fields of events and answers.
    pub(crate) choices: Vec<&'static Choices>,
    pub(crate) usage: Vec<&'static Usage>,
}

impl FieldRows {
    /// Returns the codes that prove a class.
    pub(crate) fn codes_of(&self, class: Class) -> &[&'static str] {
        let codes = self.codes.iter().find(|(of, _)| *of == class);
        codes.map_or(&[], |(_, codes)| codes)
    }
}

pub(crate) static FIELD_ROWS: LazyLock<FieldRows> = LazyLock::new(|| FieldRows {
    code_headers: rows(|dialect| dialect.code_headers)
        .map(|name| HeaderName::from_static(name))
        .collect(),
    code_fields: rows(|dialect| dialect.code_fields).copied().collect(),
    text_fields: rows(|dialect| dialect.text_fields).copied().collect(),
    hint_fields: rows(|dialect| dialect.hint_fields).copied().collect(),
    header_fields: (rows(|dialect| dialect.header_field.as_slice()).copied()).collect(),
    details: rows(|dialect| dialect.details.as_slice()).collect(),
    phrases: rows(|dialect| dialect.phrases).collect(),
    codes: codes_by_class(),
    status_fields: rows(|dialect| dialect.status_fields).copied().collect(),
    choices: rows(|dialect| dialect.choices.as_slice()).collect(),
    usage: rows(|dialect| dialect.usage.as_slice()).collect(),
});

/// Returns the codes of all tables, by the class that they prove.
fn codes_by_class() -> Vec<(Class, Vec<&'static str>)> {
    let mut all: Vec<(Class, Vec<&str>)> = Vec::new();
    for (class, codes) in rows(|dialect| dialect.codes) {
        let codes = kept(codes).copied();
        match all.iter_mut().find(|(of, _)| of == class) {
            Some((_, known)) => known.extend(codes),
            None => all.push((*class, codes.collect())),
        }
    }
    all
}

/// In the build of the tests, one row can be deleted: each row must be one that a test needs.
#[cfg(not(test))]
const fn is_deleted<T>(_: &T) -> bool {
    false
}

#[cfg(test)]
use crate::dialect::tests::is_deleted;

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
            let codes = dialect.codes.iter().flat_map(|(_, codes)| *codes).copied();
            let texts = (dialect.phrases.iter()).flat_map(|row| [row.begins, row.contains]);
            let account = dialect.account_texts.iter().copied();
            for text in codes.chain(texts).chain(account) {
                assert_eq!(text, text.to_ascii_lowercase());
            }
        }
    }
}
