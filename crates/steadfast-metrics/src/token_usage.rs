use std::sync::OnceLock;

use metrics::{Counter, counter};
use steadfast_core::EndpointName;

use crate::names;

/// Counts the tokens that the whole answers of one endpoint report.
///
/// The series are looked up at the first answer and kept, so an answer costs two additions.
#[derive(Debug)]
pub struct TokenUsage {
    endpoint: EndpointName,
    counters: OnceLock<(Counter, Counter)>,
}

impl TokenUsage {
    /// Creates the counters of an endpoint.
    #[must_use]
    pub fn new(endpoint: EndpointName) -> Self {
        Self {
            endpoint,
            counters: OnceLock::new(),
        }
    }

    /// Counts the tokens of one answer.
    pub fn record(&self, input: u64, output: u64) {
        let (of_input, of_output) = self.counters.get_or_init(|| {
            let endpoint = || self.endpoint.to_string();
            (
                counter!(names::INPUT_TOKENS, "endpoint" => endpoint()),
                counter!(names::OUTPUT_TOKENS, "endpoint" => endpoint()),
            )
        });
        of_input.increment(input);
        of_output.increment(output);
    }
}
