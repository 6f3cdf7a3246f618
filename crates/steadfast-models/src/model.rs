use serde::Deserialize;

use crate::rejected::{ModelRejected, RejectReason};
use crate::request_size::RequestSize;
use crate::tokens::Tokens;

/// One row of a [`Catalogue`](crate::Catalogue).
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) family: Option<String>,
    pub(crate) context: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) price: Option<Price>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) can: Option<Vec<Capability>>,
    pub(crate) source: String,
    pub(crate) date: String,
}

/// Prices in US dollars per million tokens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Price {
    /// Of the prompt.
    pub input: f64,
    /// Of the part of the prompt that the provider has cached. Defaults to `input`.
    pub cached: Option<f64>,
    /// Of the answer. An embedding has none.
    #[serde(default)]
    pub output: f64,
}

/// The list price of another seller, beside a reference price.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Offer {
    /// The seller, such as `holysheep`.
    pub provider: String,
    /// US dollars per million tokens.
    pub price: f64,
    /// The price that the seller compares with, in US dollars per million tokens.
    pub reference: Option<f64>,
    /// The document with the price.
    #[serde(default)]
    pub source: String,
    /// The date of the document, as `2026-11-29`.
    #[serde(default)]
    pub date: String,
}

/// A feature of a model's API.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Capability {
    /// Answers in the form of a JSON schema, or at least as JSON.
    Json,
    /// Streamed answers.
    Stream,
    /// Calls of functions.
    Tools,
    /// Images in the prompt.
    Vision,
}

impl Model {
    /// Creates a row without limits and prices.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            family: None,
            context: None,
            output: None,
            price: None,
            offers: Vec::new(),
            can: None,
            source: String::new(),
            date: String::new(),
        }
    }

    /// Adds another name.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// Sets the largest number of tokens of prompt and answer together.
    #[must_use]
    pub fn with_context_window(mut self, tokens: u64) -> Self {
        self.context = Some(tokens);
        self
    }

    /// Sets the largest number of tokens of an answer.
    #[must_use]
    pub fn with_max_output(mut self, tokens: u64) -> Self {
        self.output = Some(tokens);
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the other names.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Returns the family, such as `openai`.
    #[must_use]
    pub fn family(&self) -> Option<&str> {
        self.family.as_deref()
    }

    /// Returns the largest number of tokens of prompt and answer together, if it is known.
    #[must_use]
    pub fn context_window(&self) -> Option<u64> {
        self.context
    }

    /// Returns the largest number of tokens of an answer, if it is known.
    #[must_use]
    pub fn max_output(&self) -> Option<u64> {
        self.output
    }

    /// Returns the price of the model's own provider, if it is known.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    /// Returns the list prices of other sellers.
    #[must_use]
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// Returns whether the model has a capability, or `None` if the row lists none.
    #[must_use]
    pub fn can(&self, capability: Capability) -> Option<bool> {
        self.can.as_ref().map(|all| all.contains(&capability))
    }

    /// Returns the document with the facts of this row.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the date of these facts, as `2026-11-29`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Checks a request against the limits of this model.
    ///
    /// An estimate by bytes may exceed the context by a quarter, and a count by a tenth: the
    /// encoding of the model may differ.
    ///
    /// # Errors
    ///
    /// Returns an error if the request asks for more output than the model has, or if its prompt
    /// exceeds the context.
    pub fn fits(&self, size: &RequestSize) -> Result<(), ModelRejected> {
        if let (Some(given), Some(limit)) = (size.max_tokens(), self.output) {
            if given > limit {
                let field = size.max_tokens_field();
                let reason = RejectReason::OutputTooLong {
                    given,
                    limit,
                    field,
                };
                return Err(ModelRejected::new(&self.name, reason));
            }
        }
        if let Some(limit) = self.context {
            let margin = match size.tokens() {
                Tokens::Bytes => limit / 4,
                #[cfg(feature = "tokenizer")]
                Tokens::Bpe => limit / 10,
            };
            let estimate = size.prompt_tokens();
            if estimate > limit.saturating_add(margin) {
                let reason = RejectReason::PromptTooLong { estimate, limit };
                return Err(ModelRejected::new(&self.name, reason));
            }
        }
        Ok(())
    }
}

impl Price {
    /// Returns the cost of an answer in US dollars. `cached` tokens are a part of `input`.
    ///
    /// ```
    /// use steadfast_models::Catalogue;
    ///
    /// let catalogue = Catalogue::shipped();
    /// let price = catalogue.find("gpt-4.1")?.price().expect("a row with a price");
    /// // 2 $ for a million tokens of prompt, half of them cached for 0.5 $, and 8 $ for the answer.
    /// assert_eq!(price.cost(1_000_000, 500_000, 1_000_000), 1.0 + 0.25 + 8.0);
    /// # Ok::<(), steadfast_models::ModelRejected>(())
    /// ```
    #[must_use]
    pub fn cost(&self, input: u64, cached: u64, output: u64) -> f64 {
        let cached = cached.min(input);
        let parts = [
            (input - cached, self.input),
            (cached, self.cached.unwrap_or(self.input)),
            (output, self.output),
        ];
        parts
            .map(|(tokens, price)| tokens as f64 / 1e6 * price)
            .iter()
            .sum()
    }
}
