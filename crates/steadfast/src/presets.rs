//! Endpoints of known providers.

use steadfast_balance::Endpoint;
use steadfast_core::InvalidConfig;

use crate::api_key::{ApiKey, InvalidApiKey};

/// The prefix of HolySheep's keys.
const PREFIX: &str = "sk-";
/// The length of the shortest key, in characters.
const MINIMUM: usize = 20;

/// Returns the endpoints of HolySheep AI: `primary`, `backup1` and `backup2`, with one key.
///
/// ```
/// use steadfast::{AiStack, presets};
///
/// let ai = AiStack::builder()
///     .endpoints(presets::holysheep("sk-0123456789abcdef01")?)
///     .build()?;
/// # Ok::<(), steadfast::BoxError>(())
/// ```
///
/// # Errors
///
/// Returns an error if the key does not begin with `sk-` or has fewer than 20 characters. The error
/// does not show the key.
pub fn holysheep(key: &str) -> Result<Vec<Endpoint>, InvalidApiKey> {
    let key = ApiKey::new(key)?.check(PREFIX, MINIMUM)?;
    let endpoint = |(name, base)| -> Result<Endpoint, InvalidConfig> {
        Ok(Endpoint::new(name, base)?.api_key(key.clone()))
    };
    let endpoints = [
        ("primary", "https://api.holysheep.ai/v1"),
        ("backup1", "https://backup1.holysheep.ai/v1"),
        ("backup2", "https://backup2.holysheep.ai/v1"),
    ];
    let endpoints: Result<_, _> = endpoints.into_iter().map(endpoint).collect();
    Ok(endpoints.expect("names and URIs are constants"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preset_has_three_endpoints_with_one_key() {
        let endpoints = holysheep(" sk-0123456789abcdef01 ").unwrap();
        let shown: Vec<_> = endpoints
            .iter()
            .map(|endpoint| (endpoint.name().to_string(), endpoint.base()))
            .collect();
        let expected = [
            ("primary", "https://api.holysheep.ai/v1"),
            ("backup1", "https://backup1.holysheep.ai/v1"),
            ("backup2", "https://backup2.holysheep.ai/v1"),
        ];
        assert_eq!(
            shown,
            expected.map(|(name, base)| (name.to_owned(), base.to_owned()))
        );
        assert!(!format!("{endpoints:?}").contains("0123456789"));
    }

    #[test]
    fn invalid_key_returns_reason_without_key() {
        for (key, expected) in [
            ("pk-0123456789abcdef01", "begin with \"sk-\""),
            (
                "sk-0123456789abcde",
                "18 characters and should have at least 20",
            ),
        ] {
            let error = holysheep(key).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("0123"), "{error}");
        }
    }
}
