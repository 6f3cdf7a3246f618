use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_core::InvalidConfig;

/// The credential of an endpoint: a header with a secret value.
///
/// The value is marked as sensitive. `Debug` output and errors omit it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The header that carries the credential.
    name: HeaderName,
    /// The credential, marked as sensitive.
    value: HeaderValue,
    /// The present value, if a layer of the endpoint replaces it in each attempt.
    current: Option<Current>,
}

/// Returns the present value of a credential. Equal only to its clones.
#[derive(Clone)]
struct Current(Arc<dyn Fn() -> Option<HeaderValue> + Send + Sync>);

impl Credential {
    /// Creates a credential for the header `authorization: Bearer TOKEN`.
    ///
    /// # Errors
    ///
    /// Returns an error if the token is empty or is not valid in a header. The error does
    /// not show it.
    pub fn bearer(token: &str) -> Result<Self, InvalidConfig> {
        let token = token.trim();
        Self::secret(AUTHORIZATION, token, &format!("Bearer {token}"))
    }

    /// Creates a credential for a header of its own, such as `x-api-key`.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is empty or is not valid in a header. The error does
    /// not show it.
    pub fn header(name: HeaderName, value: &str) -> Result<Self, InvalidConfig> {
        let value = value.trim();
        Self::secret(name, value, value)
    }

    /// Creates a credential from a header value, and rejects invalid characters.
    fn secret(name: HeaderName, secret: &str, text: &str) -> Result<Self, InvalidConfig> {
        if secret.is_empty() {
            return Err(InvalidConfig::new("credential", "", "must not be empty"));
        }
        let Ok(mut value) = HeaderValue::from_str(text) else {
            let length = format_args!("{} bytes", secret.len()).to_string();
            let reason = "must be visible ASCII text";
            return Err(InvalidConfig::new("credential", length, reason));
        };
        value.set_sensitive(true);
        Ok(Self {
            name,
            value,
            current: None,
        })
    }

    /// Marks a credential that a layer of the endpoint replaces in each attempt.
    ///
    /// A health check bypasses the layers. It sends the value that `current` returns, or no
    /// credential.
    #[must_use]
    pub fn changing(
        mut self,
        current: impl Fn() -> Option<HeaderValue> + Send + Sync + 'static,
    ) -> Self {
        self.current = Some(Current(Arc::new(current)));
        self
    }

    /// Returns the name of the header.
    pub(crate) fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Returns the value of the header.
    pub(crate) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Returns the value of the header, to replace it.
    pub(crate) fn value_mut(&mut self) -> &mut HeaderValue {
        &mut self.value
    }

    /// Sets the header of a request. It replaces all values of the same name.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        // An insertion first makes room for one more header, which may copy all of them.
        let has_single_values = headers.len() == headers.keys_len();
        match headers.get_mut(&self.name) {
            Some(value) if has_single_values => *value = self.value.clone(),
            _ => {
                headers.insert(self.name.clone(), self.value.clone());
            }
        }
    }
}

#[cfg(feature = "health")]
impl Credential {
    /// Sets the header of a request that bypasses the layers of the endpoint.
    pub(crate) fn apply_current(&self, headers: &mut HeaderMap) {
        let Some(Current(current)) = &self.current else {
            return;
        };
        headers.remove(&self.name);
        if let Some(mut value) = current() {
            value.set_sensitive(true);
            headers.insert(self.name.clone(), value);
        }
    }
}

impl PartialEq for Current {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Current {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}: *)", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_debug_and_errors_hide_secret() {
        let credential = Credential::bearer(" sk-secret\n").unwrap();
        assert_eq!(format!("{credential:?}"), "Credential(authorization: *)");
        let mut headers = HeaderMap::new();
        credential.apply(&mut headers);
        assert_eq!(headers[AUTHORIZATION], "Bearer sk-secret");
        assert!(!format!("{headers:?}").contains("secret"));

        // Each value of the caller is replaced.
        for count in 0..3 {
            let mut headers = HeaderMap::new();
            for _ in 0..count {
                headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer own"));
            }
            credential.apply(&mut headers);
            let values: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
            assert_eq!(values, ["Bearer sk-secret"]);
        }

        let error = Credential::bearer("sk-sec\nret").unwrap_err();
        assert!(!error.to_string().contains("sk-sec"), "{error}");
        assert!(Credential::header(AUTHORIZATION, "  ").is_err());
    }
}
