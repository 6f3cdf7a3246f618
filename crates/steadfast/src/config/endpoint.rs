//! An endpoint in a configuration file.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use steadfast_balance::{Credential, Endpoint, Limits, Rule};
use steadfast_core::InvalidConfig;

use super::breaker::BreakerConfig;
use super::rule;
#[cfg(feature = "schema")]
use super::schema;
use super::set::Set;
use crate::api_key::{ApiKey, InvalidApiKey};
use crate::builder::AiStackBuilder;
use crate::duration::deserialize_some;
use crate::format::Format;
use crate::provider::{Provider, numbered};

/// The default time after which a token is read again. Most tokens are valid for an hour.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// One endpoint, or the endpoints of a provider with one key or several.
///
/// `name` and `url` are required without a `provider`. Several keys make an endpoint each, with
/// limits of its own, and with a number behind the name: `openai-1`, `openai-2`.
///
/// `Debug` shows neither the URL nor the variable of the key: a user may have put a secret there by
/// mistake. The errors of a format may quote a line of the file.
#[derive(Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// Its name in logs and metrics. Defaults to the name of its provider.
    pub name: Option<String>,
    /// The provider: a preset of the base URI, the header of the key and its format.
    pub provider: Option<Provider>,
    /// Its base URI, with the base path of its requests. Defaults to the URI of its provider.
    pub url: Option<String>,
    /// The environment variable that holds its API key, or a list of variables.
    #[serde(default, deserialize_with = "one_or_many")]
    #[cfg_attr(feature = "schema", schemars(with = "OneOrMany"))]
    pub api_key_env: Vec<String>,
    /// The source of tokens that expire, in place of a key: `file` or `command`, and `every`.
    token: Option<TokenConfig>,
    /// The organization of OpenAI.
    pub organization: Option<String>,
    /// The project of OpenAI.
    pub project: Option<String>,
    /// The deployment of Azure OpenAI. `url` is the resource then,
    /// `https://RESOURCE.openai.azure.com`.
    pub deployment: Option<String>,
    /// The version of Azure's API for requests that name none.
    pub api_version: Option<String>,
    /// The headers that each request gets. They replace the caller's. A key belongs into
    /// `api_key_env`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its tier. Defaults to 0.
    #[serde(default)]
    pub tier: u16,
    /// Its weight within its tier. Defaults to 1.
    pub weight: Option<f64>,
    /// The cost of a request, for the strategy `scored`. Defaults to 1.
    pub cost: Option<f64>,
    /// Whether its answers are of lesser quality. Defaults to `false`.
    #[serde(default)]
    pub degraded: bool,
    /// Whether it takes larger requests than the others. Defaults to `false`.
    #[serde(default)]
    pub larger_context: bool,
    /// Whether it gets the caller's credentials. Defaults to `false`.
    #[serde(default)]
    pub pass_credentials: bool,
    /// The headers that it gets although their names look like credentials.
    #[serde(default)]
    pub pass_headers: Vec<String>,
    /// The query parameters that it gets although their names look like credentials.
    #[serde(default)]
    pub pass_query: Vec<String>,
    /// Whether it gets `CONNECT`, `TRACE` and upgrades. Defaults to `false`.
    #[serde(default)]
    pub dangerous_methods: bool,
    /// The formats of the requests that it takes. Defaults to the ones of its provider, or to all.
    /// An empty list stands for all.
    formats: Option<Vec<Format>>,
    /// `per_key` or `shared`: the requests that share its limits. Defaults to `per_key`.
    #[serde(default)]
    limits: LimitsName,
    /// Whether a send rate is learned from its refusals. Defaults to `true`.
    pub learned_rate: Option<bool>,
    /// The address to connect to, in place of a lookup of the name. The client of the stack must
    /// use it: the built-in one does not.
    pub connect_to: Option<SocketAddr>,
    /// The rules about its replies: conditions (`status`, `code`, `header`, `contains`) and a
    /// verdict (`class`, `hint`, `scope`).
    #[serde(default, deserialize_with = "rule::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<rule::Fields>"))]
    pub rule: Vec<Rule>,
    /// Its breaker.
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// The names of [`Limits`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum LimitsName {
    #[default]
    PerKey,
    Shared,
}

/// The source of tokens that expire.
#[derive(Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct TokenConfig {
    /// A file that holds the token alone.
    file: Option<PathBuf>,
    /// A program and its arguments. It prints the token alone.
    command: Option<Vec<String>>,
    /// The time after which the source is read again. Defaults to 5 minutes.
    #[serde(default, deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    every: Option<Duration>,
}

/// A text, or a list of texts.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn one_or_many<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(value)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(list) => list,
    })
}

impl EndpointConfig {
    /// Adds the endpoints to a stack.
    pub(super) fn add_to(&self, builder: AiStackBuilder) -> Result<AiStackBuilder, InvalidConfig> {
        let endpoints = self.endpoints()?;
        let Some(token) = &self.token else {
            return Ok(builder.endpoints(endpoints));
        };
        if !self.api_key_env.is_empty() {
            let reason = "must not stand beside api_key_env";
            return Err(InvalidConfig::new("token", "{...}", reason));
        }
        endpoints
            .into_iter()
            .try_fold(builder, |builder, it| token.add_to(builder, it))
    }

    /// Creates an endpoint for each base URI and each API key.
    fn endpoints(&self) -> Result<Vec<Endpoint>, InvalidConfig> {
        let keys = self.keys()?;
        let mut endpoints = Vec::new();
        for (name, base) in self.bases()? {
            let count = keys.len().max(1);
            for n in 0..count {
                let endpoint = self.preset(&numbered(&name, n, count), &base)?;
                let key = keys.get(n).cloned();
                endpoints.push(self.configured(endpoint.set(key, Endpoint::api_key))?);
            }
        }
        Ok(endpoints)
    }

    /// Creates an endpoint with the required header of its provider.
    fn preset(&self, name: &str, base: &str) -> Result<Endpoint, InvalidConfig> {
        match self.provider {
            Some(provider) => provider.without_key(name, base),
            None => Endpoint::new(name, base),
        }
    }

    /// Returns the names and the base URIs.
    fn bases(&self) -> Result<Vec<(String, String)>, InvalidConfig> {
        let missing = |field, reason| Err(InvalidConfig::new(field, "nothing", reason));
        let name = match (&self.name, self.provider) {
            (Some(name), _) => name,
            (None, Some(provider)) => provider.name(),
            (None, None) => return missing("name", "is required without a provider"),
        };
        if let Some(url) = &self.url {
            let url = match &self.deployment {
                Some(deployment) => format!(
                    "{}/openai/deployments/{deployment}",
                    url.trim_end_matches('/')
                ),
                None => url.clone(),
            };
            return Ok(vec![(name.to_owned(), url)]);
        }
        let owned = |name: &str, base: &str| (name.to_owned(), base.to_owned());
        match (self.provider.map(Provider::bases), &self.name) {
            (None, _) => missing("url", "is required without a provider"),
            (Some([]), _) => missing("url", "is required, because the provider has one per user"),
            (Some([(_, base)]), _) => Ok(vec![owned(name, base)]),
            (Some(bases), None) => Ok(bases.iter().map(|(name, base)| owned(name, base)).collect()),
            (Some(bases), Some(own)) => {
                let name = |name| format!("{own}-{name}");
                Ok(bases
                    .iter()
                    .map(|(it, base)| owned(&name(it), base))
                    .collect())
            }
        }
    }

    /// Applies the settings apart from the credential.
    fn configured(&self, endpoint: Endpoint) -> Result<Endpoint, InvalidConfig> {
        let limits = match self.limits {
            LimitsName::PerKey => Limits::PerKey,
            LimitsName::Shared => Limits::Shared,
        };
        let breaker = self.breaker.builder();
        let endpoint = endpoint
            .tier(self.tier)
            .degraded(self.degraded)
            .larger_context(self.larger_context)
            .pass_credentials(self.pass_credentials)
            .pass_headers(self.pass_headers()?)
            .pass_query(&self.pass_query)
            .dangerous_methods(self.dangerous_methods)
            .limits(limits)
            .set(self.formats.as_deref(), |endpoint, formats| {
                endpoint.formats(formats.iter().map(|format| format.name()))
            })
            .set(self.weight, Endpoint::weight)
            .set(self.cost, Endpoint::cost)
            .set(self.learned_rate, Endpoint::learned_rate)
            .set(self.connect_to, Endpoint::connect_to)
            .set(self.api_version.as_deref(), |endpoint, version| {
                endpoint.default_query("api-version", version)
            })
            .breaker(breaker.map_err(|error| error.within("breaker"))?);
        let headers = self.headers()?.into_iter();
        let endpoint = headers.fold(endpoint, |endpoint, (name, value)| {
            endpoint.header(name, value)
        });
        Ok(self.rule.iter().cloned().fold(endpoint, Endpoint::rule))
    }

    /// Returns the API keys of the environment variables.
    fn keys(&self) -> Result<Vec<Credential>, InvalidConfig> {
        // A user may have put the key itself there.
        let invalid = |reason| InvalidConfig::new("api_key_env", "(not shown)", reason);
        let key = |variable: &String| {
            let text = env::var(variable)
                .map_err(|_| invalid("must name an environment variable that is set"))?;
            let credential = match self.provider {
                Some(provider) => provider.key(&text).map(|key| provider.credential(key)),
                None => ApiKey::new(&text).map(Credential::from),
            };
            credential.map_err(|error| invalid(reason(error)))
        };
        self.api_key_env.iter().map(key).collect()
    }

    /// Returns the headers of each request: the ones of OpenAI's keys, and the table `headers`.
    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, InvalidConfig> {
        let own = [
            ("openai-organization", &self.organization),
            ("openai-project", &self.project),
        ];
        let own = own
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_ref()?)));
        let given = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        let headers = own.chain(given).map(|(name, value)| header(name, value));
        headers.collect::<Option<_>>().ok_or_else(|| {
            let reason = "must be a table of header names and values";
            InvalidConfig::new("headers", "(not shown)", reason)
        })
    }

    /// Returns the headers that pass although their names look like credentials.
    fn pass_headers(&self) -> Result<Vec<HeaderName>, InvalidConfig> {
        let names = self.pass_headers.iter().map(|name| name.parse());
        names.collect::<Result<_, _>>().map_err(|_| {
            let reason = "must be a list of header names";
            InvalidConfig::new("pass_headers", "(not shown)", reason)
        })
    }
}

impl TokenConfig {
    /// Adds an endpoint with this source.
    ///
    /// The source is not called here: a file may appear, and a command may need the network, later.
    fn add_to(
        &self,
        builder: AiStackBuilder,
        endpoint: Endpoint,
    ) -> Result<AiStackBuilder, InvalidConfig> {
        let every = self.every.unwrap_or(TOKEN_LIFETIME);
        match (&self.file, &self.command) {
            (Some(file), None) => {
                Ok(builder.endpoint_with_tokens(endpoint, ApiKey::from_file(file, every)))
            }
            (None, Some(command)) if !command.is_empty() => {
                Ok(builder.endpoint_with_tokens(endpoint, ApiKey::from_command(command, every)))
            }
            _ => {
                let reason = "must have either `file` or `command`";
                Err(InvalidConfig::new("token", "{...}", reason))
            }
        }
    }
}

/// Parses a header. `None` if its name or its value is invalid.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// Returns the rule that a key breaks, without the key.
fn reason(error: InvalidApiKey) -> &'static str {
    match error {
        InvalidApiKey::Empty => "must name a variable that is not empty",
        InvalidApiKey::Space => "must name a variable whose value contains no space",
        InvalidApiKey::Prefix { .. } => {
            "must name a variable whose value begins as keys of the provider"
        }
        InvalidApiKey::TooShort { .. } => {
            "must name a variable whose value is as long as keys of the provider"
        }
        InvalidApiKey::NotPrintable => "must name a variable whose value can stand in a header",
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("tier", &self.tier)
            .field("weight", &self.weight)
            .field("pass_credentials", &self.pass_credentials)
            .field("rule", &self.rule)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
