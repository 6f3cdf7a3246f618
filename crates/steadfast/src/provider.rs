//! Known providers: their base URIs, credentials and required headers.

use std::fmt;
use std::str::FromStr;

use http::{HeaderName, HeaderValue};
use steadfast_balance::{Credential, Endpoint};
use steadfast_core::{BoxError, InvalidConfig};

use crate::api_key::{ApiKey, InvalidApiKey};
use crate::format::Format;

/// A known provider, as a preset of endpoints.
///
/// | Name | Base URI | Credential | Key begins with |
/// |---|---|---|---|
/// | `anthropic` | `https://api.anthropic.com/v1` | `x-api-key` | `sk-ant-` |
/// | `azure_openai` | of the resource, see [`endpoint_at`](Self::endpoint_at) | `api-key` | – |
/// | `cohere` | `https://api.cohere.com/compatibility/v1` | bearer | – |
/// | `deepseek` | `https://api.deepseek.com/v1` | bearer | `sk-` |
/// | `fireworks` | `https://api.fireworks.ai/inference/v1` | bearer | – |
/// | `gemini` | `https://generativelanguage.googleapis.com/v1beta/openai` | bearer | – |
/// | `gemini_native` | `https://generativelanguage.googleapis.com` | `x-goog-api-key` | – |
/// | `groq` | `https://api.groq.com/openai/v1` | bearer | `gsk_` |
/// | `holysheep` | `https://api.holysheep.ai/v1` and two backups | bearer | `sk-`, 20 characters |
/// | `llama_cpp` | `http://127.0.0.1:8080/v1` | none, or bearer | – |
/// | `lm_studio` | `http://127.0.0.1:1234/v1` | none, or bearer | – |
/// | `mistral` | `https://api.mistral.ai/v1` | bearer | – |
/// | `ollama` | `http://127.0.0.1:11434/v1` | none, or bearer | – |
/// | `openai` | `https://api.openai.com/v1` | bearer | `sk-` |
/// | `openrouter` | `https://openrouter.ai/api/v1` | bearer | `sk-or-` |
/// | `together` | `https://api.together.xyz/v1` | bearer | – |
/// | `vertex` | of the project and region, see [`endpoint_at`](Self::endpoint_at) | bearer, short-lived | – |
/// | `vllm` | `http://127.0.0.1:8000/v1` | none, or bearer | – |
/// | `xai` | `https://api.x.ai/v1` | bearer | `xai-` |
///
/// An endpoint takes the [formats](Endpoint::formats) that its provider documents:
/// `chat_completions`, `completions`, `embeddings` and `responses`, except for `anthropic`
/// (`messages`) and `gemini_native` (`generate_content`). `fireworks`, `openrouter`, `xai` and the
/// local servers take `messages` as well.
///
/// ```
/// use steadfast::{AiStack, Provider};
///
/// let ai = AiStack::builder()
///     .endpoints(Provider::HolySheep.endpoints(["sk-0123456789abcdef01"])?)
///     .endpoints(Provider::Ollama.endpoints::<&str>([])?)
///     .build()?;
/// # Ok::<(), steadfast::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum Provider {
    /// Anthropic's own format.
    Anthropic,
    /// Azure OpenAI, also in Azure AI Foundry.
    #[cfg_attr(feature = "serde", serde(rename = "azure_openai"))]
    AzureOpenAi,
    /// Cohere, in OpenAI's format.
    Cohere,
    /// DeepSeek.
    #[cfg_attr(feature = "serde", serde(rename = "deepseek"))]
    DeepSeek,
    /// Fireworks AI.
    Fireworks,
    /// Gemini, in OpenAI's format.
    Gemini,
    /// Gemini, in Google's format.
    GeminiNative,
    /// Groq.
    Groq,
    /// HolySheep AI: three endpoints.
    #[cfg_attr(feature = "serde", serde(rename = "holysheep"))]
    HolySheep,
    /// The server of llama.cpp on this machine.
    LlamaCpp,
    /// LM Studio on this machine.
    LmStudio,
    /// Mistral AI.
    Mistral,
    /// Ollama on this machine.
    Ollama,
    /// OpenAI.
    #[cfg_attr(feature = "serde", serde(rename = "openai"))]
    OpenAi,
    /// OpenRouter.
    #[cfg_attr(feature = "serde", serde(rename = "openrouter"))]
    OpenRouter,
    /// Together AI.
    Together,
    /// Vertex AI, in OpenAI's format.
    Vertex,
    /// vLLM on this machine.
    Vllm,
    /// xAI.
    #[cfg_attr(feature = "serde", serde(rename = "xai"))]
    XAi,
}

/// The facts about a provider.
struct Facts {
    /// The provider.
    provider: Provider,
    /// Its name in a configuration.
    name: &'static str,
    /// Names and base URIs of its endpoints. Empty if each user has an own one.
    bases: &'static [(&'static str, &'static str)],
    /// The header of a key. `None` for a bearer token.
    header: Option<&'static str>,
    /// The start of a key, as the provider documents it, and the length of the shortest key.
    key: (&'static str, usize),
    /// Whether it serves requests without a key.
    is_local: bool,
    /// The formats that it documents.
    formats: &'static [Format],
    /// A header that each request needs. The caller's value takes precedence.
    required: Option<(&'static str, &'static str)>,
}

impl Facts {
    /// Creates the facts about a provider with bearer tokens of any format.
    const fn new(
        provider: Provider,
        name: &'static str,
        bases: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            provider,
            name,
            bases,
            header: None,
            key: ("", 0),
            is_local: false,
            formats: Format::OPENAI,
            required: None,
        }
    }

    /// Sets the start of a key.
    const fn key(mut self, prefix: &'static str) -> Self {
        self.key = (prefix, prefix.len() + 1);
        self
    }

    /// Sets the header of a key.
    const fn header(mut self, name: &'static str) -> Self {
        self.header = Some(name);
        self
    }

    /// Sets the formats, in place of the ones of OpenAI.
    const fn formats(mut self, formats: &'static [Format]) -> Self {
        self.formats = formats;
        self
    }

    /// Marks a server that needs no key. The ones of the list follow OpenAI and Anthropic.
    const fn local(mut self) -> Self {
        self.is_local = true;
        self.formats(Format::BOTH)
    }
}

/// HolySheep's endpoints, in the order of their use.
const HOLYSHEEP: &[(&str, &str)] = &[
    ("primary", "https://api.holysheep.ai/v1"),
    ("backup1", "https://backup1.holysheep.ai/v1"),
    ("backup2", "https://backup2.holysheep.ai/v1"),
];

/// All providers. The sources are their API references, November 2026.
const ALL: [Facts; 19] = {
    use Provider as P;
    [
        Facts {
            required: Some(("anthropic-version", "2023-06-01")),
            ..Facts::new(
                P::Anthropic,
                "anthropic",
                &[("anthropic", "https://api.anthropic.com/v1")],
            )
            .header("x-api-key")
            .key("sk-ant-")
            .formats(&[Format::Messages])
        },
        Facts::new(P::AzureOpenAi, "azure_openai", &[]).header("api-key"),
        Facts::new(
            P::Cohere,
            "cohere",
            &[("cohere", "https://api.cohere.com/compatibility/v1")],
        ),
        Facts::new(
            P::DeepSeek,
            "deepseek",
            &[("deepseek", "https://api.deepseek.com/v1")],
        )
        .key("sk-"),
        Facts::new(
            P::Fireworks,
            "fireworks",
            &[("fireworks", "https://api.fireworks.ai/inference/v1")],
        )
        .formats(Format::BOTH),
        Facts::new(
            P::Gemini,
            "gemini",
            &[(
                "gemini",
                "https://generativelanguage.googleapis.com/v1beta/openai",
            )],
        ),
        Facts::new(
            P::GeminiNative,
            "gemini_native",
            &[("gemini_native", "https://generativelanguage.googleapis.com")],
        )
        .header("x-goog-api-key")
        .formats(&[Format::GenerateContent]),
        Facts::new(
            P::Groq,
            "groq",
            &[("groq", "https://api.groq.com/openai/v1")],
        )
        .key("gsk_"),
        Facts {
            key: ("sk-", 20),
            ..Facts::new(P::HolySheep, "holysheep", HOLYSHEEP)
        },
        Facts::new(
            P::LlamaCpp,
            "llama_cpp",
            &[("llama_cpp", "http://127.0.0.1:8080/v1")],
        )
        .local(),
        Facts::new(
            P::LmStudio,
            "lm_studio",
            &[("lm_studio", "http://127.0.0.1:1234/v1")],
        )
        .local(),
        Facts::new(
            P::Mistral,
            "mistral",
            &[("mistral", "https://api.mistral.ai/v1")],
        ),
        Facts::new(
            P::Ollama,
            "ollama",
            &[("ollama", "http://127.0.0.1:11434/v1")],
        )
        .local(),
        Facts::new(
            P::OpenAi,
            "openai",
            &[("openai", "https://api.openai.com/v1")],
        )
        .key("sk-"),
        Facts::new(
            P::OpenRouter,
            "openrouter",
            &[("openrouter", "https://openrouter.ai/api/v1")],
        )
        .key("sk-or-")
        .formats(Format::BOTH),
        Facts::new(
            P::Together,
            "together",
            &[("together", "https://api.together.xyz/v1")],
        ),
        Facts::new(P::Vertex, "vertex", &[]),
        Facts::new(P::Vllm, "vllm", &[("vllm", "http://127.0.0.1:8000/v1")]).local(),
        Facts::new(P::XAi, "xai", &[("xai", "https://api.x.ai/v1")])
            .key("xai-")
            .formats(Format::BOTH),
    ]
};

impl Provider {
    /// Creates the endpoints of each key, each with limits of its own.
    ///
    /// With several keys, a number follows the names: `openai-1`, `openai-2`. A local server needs
    /// no key.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no key, or if a key has another format than the provider
    /// documents. The error shows no key. If the provider has a base URI per user, use
    /// [`endpoint_at`](Self::endpoint_at).
    pub fn endpoints<K: AsRef<str>>(
        self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Endpoint>, BoxError> {
        let facts = self.facts();
        if facts.bases.is_empty() {
            let reason = "must be given: the provider has a base URI per user";
            return Err(InvalidConfig::new("url", facts.name, reason).into());
        }
        let keys: Vec<K> = keys.into_iter().collect();
        if keys.is_empty() && !facts.is_local {
            return Err(InvalidApiKey::Empty.into());
        }
        let mut endpoints = Vec::new();
        for (name, base) in self.bases() {
            for (n, key) in keys.iter().enumerate() {
                let name = numbered(name, n, keys.len());
                endpoints.push(self.endpoint_at(&name, base, key.as_ref())?);
            }
            if keys.is_empty() {
                endpoints.push(self.without_key(name, base)?);
            }
        }
        Ok(endpoints)
    }

    /// Creates an endpoint at a base URI of the user.
    ///
    /// For Azure OpenAI, the base is `https://RESOURCE.openai.azure.com/openai/v1`, or
    /// `https://RESOURCE.openai.azure.com/openai/deployments/DEPLOYMENT` with
    /// [`default_query("api-version", "…")`](Endpoint::default_query). For Vertex AI, it is
    /// `https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION/endpoints/openapi`.
    ///
    /// ```
    /// use steadfast::Provider;
    ///
    /// let base = "https://example.openai.azure.com/openai/deployments/gpt";
    /// let endpoint = Provider::AzureOpenAi
    ///     .endpoint_at("azure", base, "0123456789")?
    ///     .default_query("api-version", "2024-10-21");
    /// # Ok::<(), steadfast::BoxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error without the key if the key has another format than the provider documents,
    /// or if the name or the base is invalid.
    pub fn endpoint_at(self, name: &str, base: &str, key: &str) -> Result<Endpoint, BoxError> {
        let key = self.key(key)?;
        Ok(self.without_key(name, base)?.api_key(self.credential(key)))
    }

    /// Checks the format of a key, if the provider documents one.
    ///
    /// # Errors
    ///
    /// Returns an error without the key.
    pub fn key(self, text: &str) -> Result<ApiKey, InvalidApiKey> {
        let (prefix, minimum) = self.facts().key;
        ApiKey::new(text)?.check(prefix, minimum)
    }

    /// Returns the name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Creates an endpoint with the required header and the formats.
    pub(crate) fn without_key(self, name: &str, base: &str) -> Result<Endpoint, InvalidConfig> {
        let formats = self.facts().formats.iter().map(|format| format.name());
        let endpoint = Endpoint::new(name, base)?.formats(formats);
        Ok(match self.facts().required {
            Some((name, value)) => endpoint.default_header(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            ),
            None => endpoint,
        })
    }

    /// Puts a key into the header of the provider.
    pub(crate) fn credential(self, key: ApiKey) -> Credential {
        match self.facts().header {
            Some(name) => key.in_header(HeaderName::from_static(name)),
            None => key.into(),
        }
    }

    /// Returns the names and base URIs of its endpoints.
    pub(crate) fn bases(self) -> &'static [(&'static str, &'static str)] {
        self.facts().bases
    }

    /// Returns the facts about it.
    fn facts(self) -> &'static Facts {
        let found = ALL.iter().find(|facts| facts.provider == self);
        found.expect("a test finds each provider in the list")
    }
}

/// Returns the name of the endpoint of a key. A single key needs no number.
pub(crate) fn numbered(name: &str, key: usize, keys: usize) -> String {
    match keys {
        1 => name.to_owned(),
        _ => format!("{name}-{}", key + 1),
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a name of the table, such as `openai`.
impl FromStr for Provider {
    type Err = InvalidConfig;

    fn from_str(name: &str) -> Result<Self, InvalidConfig> {
        let found = ALL.iter().find(|facts| facts.name == name);
        found.map(|facts| facts.provider).ok_or_else(|| {
            let reason = "must be the name of a known provider";
            InvalidConfig::new("provider", name, reason)
        })
    }
}

#[cfg(test)]
mod tests;
