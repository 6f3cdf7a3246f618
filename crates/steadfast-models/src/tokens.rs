/// The way to estimate tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tokens {
    /// The bytes of the text, divided by four.
    #[default]
    Bytes,
    /// A count with the encoding `o200k_base` of OpenAI, which newer models of OpenAI use. Other
    /// models need a similar number.
    ///
    /// Beyond 4 MiB of text, the rest is estimated by bytes.
    #[cfg(feature = "tokenizer")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokenizer")))]
    Bpe,
}

/// The bytes of a token of English text.
const BYTES: u64 = 4;

/// Returns the estimated tokens of a text by its bytes.
///
/// ```
/// assert_eq!(steadfast_models::estimate_tokens("Hello, world!"), 4);
/// ```
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES)
}

/// Adds up the tokens of several texts.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    tokens: Tokens,
    bytes: u64,
    #[cfg(feature = "tokenizer")]
    counted: u64,
    /// The bytes behind `counted`.
    #[cfg(feature = "tokenizer")]
    counted_bytes: usize,
}

/// The most text of a request that is counted. It takes some 100 ms.
#[cfg(feature = "tokenizer")]
const MAX_COUNTED: usize = 4 * 1024 * 1024;

impl Counter {
    pub(crate) fn new(tokens: Tokens) -> Self {
        Self {
            tokens,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, text: &str) {
        #[cfg(feature = "tokenizer")]
        if self.tokens == Tokens::Bpe && self.counted_bytes + text.len() <= MAX_COUNTED {
            self.counted_bytes += text.len();
            self.counted += bpe_openai::o200k_base().count(text) as u64;
            return;
        }
        self.bytes += text.len() as u64;
    }

    pub(crate) fn total(&self) -> u64 {
        let estimated = self.bytes.div_ceil(BYTES);
        #[cfg(feature = "tokenizer")]
        let estimated = estimated + self.counted;
        estimated
    }

    pub(crate) fn tokens(&self) -> Tokens {
        self.tokens
    }
}

#[cfg(all(test, feature = "tokenizer"))]
mod tests {
    use super::*;

    #[test]
    fn bpe_counts_known_texts() {
        // The counts of OpenAI's own tokenizer for `o200k_base`.
        for (text, expected) in [("", 0), ("hello world", 2), ("Hello, world!", 4)] {
            let mut counter = Counter::new(Tokens::Bpe);
            counter.add(text);
            assert_eq!(counter.total(), expected, "{text:?}");
        }
    }

    /// An encoder with a quadratic worst case would need minutes.
    #[test]
    fn equal_letters_are_counted() {
        let mut counter = Counter::new(Tokens::Bpe);
        counter.add(&"a".repeat(1_000_000));
        assert!((100_000..200_000).contains(&counter.total()), "{counter:?}");
    }

    #[test]
    fn text_beyond_bound_is_estimated_by_bytes() {
        let mut counter = Counter::new(Tokens::Bpe);
        counter.add(&" ".repeat(MAX_COUNTED + 1));
        assert_eq!(counter.total(), (MAX_COUNTED as u64 + 1).div_ceil(BYTES));
    }
}
