//! The configuration file, with validation.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use steadfast::config::{EndpointConfig, StackConfig};
use steadfast::crates::balance::{HealthCheck, HealthChecks};
use steadfast::{AiStack, DefaultClient, InvalidConfig};

use super::limits::Limits;
use super::screen::Screen;

/// A valid configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address of the operators' routes. Without it, they are not served.
    pub admin: Option<SocketAddr>,
    /// The bounds on clients.
    pub limits: Limits,
    pub(crate) screen: Screen,
    pub(crate) admin_screen: Screen,
    /// The stack, ready to send requests.
    pub stack: AiStack,
    /// The health checks, which `start_checks` starts, and their client.
    health: Option<(HealthCheck, DefaultClient)>,
}

/// The problem of a configuration in one line, without secrets: the file, the line if known, the
/// field and the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<String>,
    line: Option<usize>,
    problem: String,
}

/// The format of the file, with the tables of [`steadfast::config`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    hosts: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    stack: StackConfig,
    #[serde(default)]
    endpoint: Vec<EndpointConfig>,
}

// ===== impl Config =====

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Returns an error that names the file, and the field if one is invalid.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let config = match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) => Err(ConfigError::new(error)),
        };
        config.map_err(|error| ConfigError {
            file: Some(path.display().to_string()),
            ..error
        })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let in_text = |error| ConfigError::in_text(&error, None, text);
        let file = toml::Deserializer::parse(text).map_err(in_text)?;
        let mut file: File = serde_path_to_error::deserialize(file).map_err(|error| {
            let path = error.path().to_string();
            ConfigError::in_text(&error.into_inner(), Some(path), text)
        })?;
        let limits = file.limits.validate();
        limits.map_err(|error| ConfigError::invalid(&error.within("limits")))?;
        // The gateway holds each body in memory.
        let replay_limit = &mut file.stack.retry.replay_limit;
        replay_limit.get_or_insert(file.limits.max_body as u64);
        let (hosts, origins) = (file.hosts.as_deref(), file.origins.as_deref());
        let screen = Screen::new(file.listen, hosts, origins)
            .map_err(|error| ConfigError::invalid(&error))?;
        let admin = file.admin.unwrap_or(file.listen);
        // No web page needs the routes of the operators.
        let admin_screen =
            Screen::new(admin, hosts, None).map_err(|error| ConfigError::invalid(&error))?;
        let client = DefaultClient::new(&file.stack.timeouts);
        let stack = file.stack.builder(&file.endpoint);
        let stack = stack.and_then(|stack| stack.build_on(client.clone()));
        Ok(Self {
            listen: file.listen,
            admin: file.admin,
            limits: file.limits,
            screen,
            admin_screen,
            stack: stack.map_err(|error| ConfigError::invalid(&error))?,
            health: file.stack.health.map(|check| (check, client)),
        })
    }

    /// Starts the health checks of the configuration. They stop when they are dropped.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a value is invalid.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    pub fn start_checks(&self) -> Result<Option<HealthChecks>, InvalidConfig> {
        let start = |(check, client): &(HealthCheck, DefaultClient)| {
            check.start(self.stack.endpoints(), client.clone())
        };
        self.health.as_ref().map(start).transpose()
    }
}

/// Returns the JSON schema of a configuration.
#[must_use]
pub fn config_schema() -> String {
    format!("{:#}", schemars::schema_for!(File).to_value())
}

// ===== impl ConfigError =====

impl ConfigError {
    fn new(problem: impl fmt::Display) -> Self {
        Self {
            file: None,
            line: None,
            problem: problem.to_string(),
        }
    }

    /// The error of a value. A text is not shown: it may be a key in the wrong field.
    fn invalid(error: &InvalidConfig) -> Self {
        let (field, reason, value) = (error.field(), error.reason(), error.value());
        let is_number = value.len() <= MAX_NUMBER
            && value.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && value
                .chars()
                .all(|c| c.is_ascii_digit() || "-.smh".contains(c));
        Self::new(match is_number {
            true => format!("{field}: {reason}, got {value}"),
            false => format!("{field}: {reason}"),
        })
    }

    fn in_text(error: &toml::de::Error, path: Option<String>, text: &str) -> Self {
        let message = without_values(&error.message().replace('\n', " "));
        // An error about the whole file has the path ".".
        let problem = match path.filter(|path| path != ".") {
            Some(path) => format!("{}: {message}", without_values_in_path(&path)),
            None => message,
        };
        let before = error.span().and_then(|span| text.get(..span.start));
        Self {
            line: before.map(|before| before.matches('\n').count() + 1),
            ..Self::new(problem)
        }
    }
}

/// The longest number or duration that an error shows.
const MAX_NUMBER: usize = 12;
/// The place of a value that an error does not show.
const HIDDEN: &str = "(not shown)";

/// Removes the values of the file from a message: a key may be in the wrong field.
///
/// The messages of serde and toml put texts between double quotes. They put the names of fields and
/// variants between backticks, also unknown ones.
fn without_values(message: &str) -> String {
    let message = match (message.find('"'), message.rfind('"')) {
        // A text may contain a quote, so nothing up to the last one is shown.
        (Some(first), Some(last)) if first < last => {
            format!("{}{HIDDEN}{}", &message[..first], &message[last + 1..])
        }
        (Some(first), _) => format!("{}{HIDDEN}", &message[..first]),
        _ => message.to_owned(),
    };
    let is_variant = message.starts_with("unknown variant");
    let mut shown = String::new();
    for (n, part) in message.split('`').enumerate() {
        // A value precedes the names that the rule permits.
        match n % 2 == 1 && (!is_name(part) || is_variant && n == 1) {
            true => shown += HIDDEN,
            false => shown += part,
        }
        shown.push('`');
    }
    shown.pop();
    shown
}

/// Removes the names of unknown fields that look like a key.
fn without_values_in_path(path: &str) -> String {
    let segments = path.split('.').map(|segment| {
        let name = segment.split('[').next().unwrap_or_default();
        if is_name(name) { segment } else { HIDDEN }
    });
    segments.collect::<Vec<_>>().join(".")
}

/// Whether a text looks like the name of a field. Keys are longer, or contain other characters.
fn is_name(text: &str) -> bool {
    text.len() <= 30 && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConfigError {}
