//! API keys, and the checks of their text.

use std::fmt;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use steadfast_balance::Credential;

/// An API key. It is trimmed, erased from memory when it is dropped, and never printed.
///
/// ```
/// use steadfast::ApiKey;
///
/// let key = ApiKey::new(" sk-0123456789abcdef\n")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(*)");
/// # Ok::<(), steadfast::InvalidApiKey>(())
/// ```
#[derive(Clone)]
pub struct ApiKey(SecretString);

/// The text is no API key. The error does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidApiKey {
    /// The text is empty or white space.
    Empty,
    /// A character is not allowed in a header.
    NotPrintable,
    /// There is white space between other characters.
    Space,
    /// The text does not begin with the prefix of the provider's keys.
    Prefix {
        /// The prefix.
        expected: &'static str,
    },
    /// The text is shorter than the provider's keys.
    TooShort {
        /// Its length in characters.
        length: usize,
        /// The length of the shortest key.
        minimum: usize,
    },
}

impl ApiKey {
    /// Creates a key from a text, without the white space around it.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is empty, or if it is not allowed in a header.
    pub fn new(text: &str) -> Result<Self, InvalidApiKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidApiKey::Empty);
        }
        if text.contains(char::is_whitespace) {
            return Err(InvalidApiKey::Space);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidApiKey::NotPrintable);
        }
        Ok(Self(text.into()))
    }

    /// Checks that the key begins with `prefix` and has at least `minimum` characters.
    ///
    /// # Errors
    ///
    /// Returns an error that names the condition that does not hold.
    pub fn check(self, prefix: &'static str, minimum: usize) -> Result<Self, InvalidApiKey> {
        let text = self.0.expose_secret();
        if !text.starts_with(prefix) {
            return Err(InvalidApiKey::Prefix { expected: prefix });
        }
        let length = text.len();
        if length < minimum {
            return Err(InvalidApiKey::TooShort { length, minimum });
        }
        Ok(self)
    }
}

impl ApiKey {
    /// Creates a credential for a header of its own, such as `x-api-key`.
    #[must_use]
    pub fn in_header(self, name: HeaderName) -> Credential {
        Credential::header(name, self.0.expose_secret()).expect("checked by `ApiKey::new`")
    }
}

impl ApiKey {
    /// Creates the value of the header `authorization`.
    pub(crate) fn bearer(&self) -> HeaderValue {
        let text = format!("Bearer {}", self.0.expose_secret());
        let mut value = HeaderValue::try_from(text).expect("checked by `ApiKey::new`");
        value.set_sensitive(true);
        value
    }
}

impl From<ApiKey> for Credential {
    fn from(key: ApiKey) -> Self {
        Self::bearer(key.0.expose_secret()).expect("checked by `ApiKey::new`")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(*)")
    }
}

impl fmt::Display for InvalidApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the API key is empty"),
            Self::NotPrintable => {
                f.write_str("the API key has a character that is no visible ASCII character")
            }
            Self::Space => f.write_str("the API key contains a space"),
            Self::Prefix { expected } => {
                write!(f, "the API key does not begin with {expected:?}")
            }
            Self::TooShort { length, minimum } => write!(
                f,
                "the API key has {length} characters and should have at least {minimum}"
            ),
        }
    }
}

impl std::error::Error for InvalidApiKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_key_returns_reason_and_is_never_printed() {
        for (text, expected) in [
            (" \n", InvalidApiKey::Empty),
            ("sk-sec ret", InvalidApiKey::Space),
            ("sk-sécret", InvalidApiKey::NotPrintable),
            (
                "secret-0123456789012345",
                InvalidApiKey::Prefix { expected: "sk-" },
            ),
            (
                "sk-secret",
                InvalidApiKey::TooShort {
                    length: 9,
                    minimum: 20,
                },
            ),
        ] {
            let error = ApiKey::new(text)
                .and_then(|key| key.check("sk-", 20))
                .unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("sec"), "{error}");
        }
        let key = ApiKey::new("\tsk-01234567890123456\n").and_then(|key| key.check("sk-", 20));
        assert_eq!(
            format!("{:?}", key.unwrap()),
            "ApiKey(*)",
            "twenty characters are enough"
        );
    }
}
