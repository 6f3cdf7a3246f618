use std::fmt;

/// A request names an unknown model, or does not fit its model. It was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRejected {
    model: String,
    reason: RejectReason,
}

/// The reason of a [`ModelRejected`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// The request asks for more output than the model has.
    OutputTooLong {
        /// The tokens that the request asks for.
        given: u64,
        /// The largest output of the model.
        limit: u64,
        /// The field of the request.
        field: &'static str,
    },
    /// The prompt exceeds the context of the model.
    PromptTooLong {
        /// The estimated tokens of the prompt.
        estimate: u64,
        /// The context of the model.
        limit: u64,
    },
    /// No row has this name.
    Unknown {
        /// The nearest names, the best one first. At most three.
        nearest: Vec<String>,
    },
}

/// The longest name in a message, in characters. A caller chooses the name.
const MAX_SHOWN: usize = 100;

impl ModelRejected {
    /// Creates the error.
    #[must_use]
    pub fn new(model: &str, reason: RejectReason) -> Self {
        let model = model.chars().take(MAX_SHOWN).collect();
        Self { model, reason }
    }

    /// Returns the model that the request names. A long name is cut.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the reason.
    #[must_use]
    pub fn reason(&self) -> &RejectReason {
        &self.reason
    }

    /// Returns the status of a response for this error: 404 for an unknown model, otherwise 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason {
            RejectReason::Unknown { .. } => 404,
            _ => 400,
        }
    }

    /// Returns the code of this error in the format of OpenAI.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.reason {
            RejectReason::OutputTooLong { .. } => "invalid_value",
            RejectReason::PromptTooLong { .. } => "context_length_exceeded",
            RejectReason::Unknown { .. } => "model_not_found",
        }
    }

    /// Returns the field of the request.
    #[must_use]
    pub fn param(&self) -> &'static str {
        match self.reason {
            RejectReason::OutputTooLong { field, .. } => field,
            RejectReason::PromptTooLong { .. } => "messages",
            RejectReason::Unknown { .. } => "model",
        }
    }
}

impl fmt::Display for ModelRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, because a caller chooses the name, and messages are written to logs.
        let (param, model) = (self.param(), self.model.escape_debug());
        match &self.reason {
            RejectReason::OutputTooLong { given, limit, .. } => {
                write!(
                    f,
                    "{param}: must be at most {limit} for `{model}`, got {given}"
                )
            }
            RejectReason::PromptTooLong { estimate, limit } => write!(
                f,
                "{param}: must fit the context of `{model}`, {limit} tokens, got about {estimate}"
            ),
            RejectReason::Unknown { nearest } => {
                write!(f, "{param}: must be known, got `{model}`")?;
                let Some((last, others)) = nearest.split_last() else {
                    return Ok(());
                };
                f.write_str(", did you mean ")?;
                for (n, name) in others.iter().enumerate() {
                    write!(f, "{}`{name}`", if n == 0 { "" } else { ", " })?;
                }
                write!(f, "{}`{last}`", if others.is_empty() { "" } else { " or " })
            }
        }
    }
}

impl std::error::Error for ModelRejected {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_field_rule_and_value() {
        let unknown = |nearest: &[&str]| {
            let nearest = nearest.iter().map(ToString::to_string).collect();
            RejectReason::Unknown { nearest }
        };
        let (given, field) = (9, "max_tokens");
        for (reason, expected) in [
            (unknown(&[]), "model: must be known, got `m`"),
            (
                unknown(&["a"]),
                "model: must be known, got `m`, did you mean `a`",
            ),
            (
                unknown(&["a", "b", "c"]),
                "model: must be known, got `m`, did you mean `a`, `b` or `c`",
            ),
            (
                RejectReason::OutputTooLong {
                    given,
                    limit: 8,
                    field,
                },
                "max_tokens: must be at most 8 for `m`, got 9",
            ),
            (
                RejectReason::PromptTooLong {
                    estimate: 20,
                    limit: 8,
                },
                "messages: must fit the context of `m`, 8 tokens, got about 20",
            ),
        ] {
            assert_eq!(ModelRejected::new("m", reason).to_string(), expected);
        }
    }

    /// A caller chooses the name. It must neither fill a log nor break its lines.
    #[test]
    fn name_in_message_is_cut_and_escaped() {
        let name = format!("a\nb{}", "é".repeat(100_000));
        let nearest = Vec::new();
        let error = ModelRejected::new(&name, RejectReason::Unknown { nearest });
        let shown = error.to_string();
        assert!(shown.contains(r"`a\nbéé"), "{shown}");
        assert!(shown.len() < 300, "{}", shown.len());
    }
}
