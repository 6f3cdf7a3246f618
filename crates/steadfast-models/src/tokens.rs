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
    /// The tokens that were counted.
    counted: u64,
    /// The bytes that were not.
    bytes: u64,
    /// The bytes of all texts that were counted.
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
        let (counted, bytes) = self.count(text);
        self.counted += counted;
        self.bytes += bytes;
    }

    /// Returns the tokens of a text that is not added. It counts for the bound of a request.
    pub(crate) fn alone(&mut self, text: &str) -> u64 {
        let (counted, bytes) = self.count(text);
        counted + bytes.div_ceil(BYTES)
    }

    pub(crate) fn total(&self) -> u64 {
        self.counted + self.bytes.div_ceil(BYTES)
    }

    /// Returns the tokens of a text, or its bytes if they are not counted.
    fn count(&mut self, text: &str) -> (u64, u64) {
        match self.tokens {
            #[cfg(feature = "tokenizer")]
            Tokens::Bpe if self.counted_bytes + text.len() <= MAX_COUNTED => {
                self.counted_bytes += text.len();
                (bpe_openai::o200k_base().count(text) as u64, 0)
            }
            _ => (0, text.len() as u64),
        }
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

    /// A list of inputs must not multiply the time of a request.
    #[test]
    fn texts_of_a_list_share_the_bound() {
        let mut counter = Counter::new(Tokens::Bpe);
        let text = " ".repeat(MAX_COUNTED);
        assert!(counter.alone(&text) < text.len() as u64 / BYTES);
        assert_eq!(counter.alone("hello world"), 3, "by bytes");
    }
}
