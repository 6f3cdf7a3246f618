//! The format of a request: an API for one operation. The path is its mark.
//!
//! Paths without a format, such as the ones of files, go to every endpoint.

use steadfast_balance::PoolHandle;
use steadfast_core::InvalidConfig;

use crate::dialect::below;
use crate::error_format::{self, ErrorFormat};

/// The format of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum Format {
    /// `/v1/chat/completions` of OpenAI.
    ChatCompletions,
    /// `/v1/completions` of OpenAI.
    Completions,
    /// `/v1/embeddings` of OpenAI.
    Embeddings,
    /// `/v1beta/models/NAME:generateContent` of Google, and the other methods of a model.
    GenerateContent,
    /// `/v1/messages` of Anthropic.
    Messages,
    /// `/v1/responses` of OpenAI.
    Responses,
}

/// A row of the table of formats.
struct Row {
    format: Format,
    /// Its name in a configuration.
    name: &'static str,
    /// Its path below the root of the API.
    path: Option<&'static str>,
    /// Its errors.
    errors: &'static ErrorFormat,
}

/// Each format.
static ALL: [Row; 6] = [
    Row {
        format: Format::ChatCompletions,
        name: "chat_completions",
        path: Some("chat/completions"),
        errors: &error_format::COMPLETIONS,
    },
    Row {
        format: Format::Completions,
        name: "completions",
        path: Some("completions"),
        errors: &error_format::COMPLETIONS,
    },
    Row {
        format: Format::Embeddings,
        name: "embeddings",
        path: Some("embeddings"),
        errors: &error_format::WHOLE,
    },
    Row {
        format: Format::GenerateContent,
        name: "generate_content",
        path: None,
        errors: &error_format::GENERATE_CONTENT,
    },
    Row {
        format: Format::Messages,
        name: "messages",
        path: Some("messages"),
        errors: &error_format::MESSAGES,
    },
    Row {
        format: Format::Responses,
        name: "responses",
        path: Some("responses"),
        errors: &error_format::RESPONSES,
    },
];

/// The methods of a model of Google.
const VERBS: [&str; 5] = [
    "generateContent",
    "streamGenerateContent",
    "countTokens",
    "embedContent",
    "batchEmbedContents",
];

impl Format {
    /// The formats of a server that follows OpenAI.
    pub(crate) const OPENAI: &'static [Self] = &[
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
    ];
    /// The formats of a server that follows OpenAI and Anthropic.
    pub(crate) const BOTH: &'static [Self] = &[
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Messages,
        Self::Responses,
    ];

    /// Returns the format of a path below the request root and the root of the API.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let path = path.trim_start_matches('/');
        let applies = |root: &str| below(path, root).is_some();
        let found = ALL.iter().find(|row| row.path.is_some_and(applies));
        let by_verb = || {
            let (_, verb) = path.rsplit_once(':')?;
            VERBS.contains(&verb).then_some(Self::GenerateContent)
        };
        found.map(|row| row.format).or_else(by_verb)
    }

    /// Returns the name in a configuration.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns its errors.
    pub(crate) fn errors(self) -> &'static ErrorFormat {
        self.row().errors
    }

    fn row(self) -> &'static Row {
        let found = ALL.iter().find(|row| row.format == self);
        found.expect("each format has a row")
    }

    /// Checks the names of the formats that endpoints declare.
    pub(crate) fn check(endpoints: &PoolHandle) -> Result<(), InvalidConfig> {
        let is_known = |own: &String| ALL.iter().any(|row| own == row.name);
        let unknown = endpoints.read(|all| {
            let mut declared = all.flat_map(|endpoint| endpoint.declared_formats());
            declared.find(|own| !is_known(own)).cloned()
        });
        let names = "must be chat_completions, completions, embeddings, generate_content, \
            messages or responses";
        unknown.map_or(Ok(()), |own| {
            Err(InvalidConfig::new("endpoint.formats", own, names))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_has_a_format() {
        for (path, expected) in [
            ("/chat/completions", Some("chat_completions")),
            ("/chat/completions/c_1", Some("chat_completions")),
            ("/completions", Some("completions")),
            ("/embeddings", Some("embeddings")),
            ("//messages", Some("messages")),
            ("/messages/count_tokens", Some("messages")),
            ("/messages/batches/b_1", Some("messages")),
            ("/responses/r_1/cancel", Some("responses")),
            (
                "/v1beta/models/m:streamGenerateContent",
                Some("generate_content"),
            ),
            ("/models/m:countTokens", Some("generate_content")),
            ("/threads/t/messages", None),
            ("/messagesx", None),
            ("/models/m:tune", None),
            ("/files", None),
            ("", None),
        ] {
            assert_eq!(Format::of(path).map(Format::name), expected, "{path}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn name_is_the_one_of_a_configuration() {
        for row in &ALL {
            let read: Format = serde_json::from_value(row.name.into()).unwrap();
            assert_eq!((read, row.format.name()), (row.format, row.name));
        }
    }
}
