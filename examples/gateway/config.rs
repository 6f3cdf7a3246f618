//! The configuration file, with validation.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use steadfast::config::{EndpointConfig, StackConfig};
use steadfast::{AiStack, InvalidConfig};

use super::limits::Limits;

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
    /// The stack, ready to send requests.
    pub stack: AiStack,
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
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
        let invalid = |error: InvalidConfig| ConfigError::new(error.within("limits"));
        file.limits.validate().map_err(invalid)?;
        // The gateway holds each body in memory.
        let replay_limit = &mut file.stack.retry.replay_limit;
        replay_limit.get_or_insert(file.limits.max_body as u64);
        let stack = file.stack.builder(&file.endpoint);
        let stack = stack.and_then(|stack| stack.build());
        Ok(Self {
            listen: file.listen,
            admin: file.admin,
            limits: file.limits,
            stack: stack.map_err(ConfigError::new)?,
        })
    }
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

    fn in_text(error: &toml::de::Error, path: Option<String>, text: &str) -> Self {
        let message = error.message().replace('\n', " ");
        // An error about the whole file has the path ".".
        let problem = match path.filter(|path| path != ".") {
            Some(path) => format!("{path}: {message}"),
            None => message,
        };
        let before = error.span().and_then(|span| text.get(..span.start));
        Self {
            line: before.map(|before| before.matches('\n').count() + 1),
            ..Self::new(problem)
        }
    }
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
