//! The former name of [`Provider::endpoints`](crate::Provider::endpoints).

use steadfast_balance::Endpoint;

use crate::api_key::InvalidApiKey;
use crate::provider::Provider;

/// Returns the endpoints of [`Provider::HolySheep`].
///
/// # Errors
///
/// Returns an error if the key does not begin with `sk-` or has fewer than 20 characters. The error
/// does not show the key.
pub fn holysheep(key: &str) -> Result<Vec<Endpoint>, InvalidApiKey> {
    let provider = Provider::HolySheep;
    provider.key(key)?;
    Ok(provider
        .endpoints([key])
        .expect("the key is valid, and names and URIs are constants"))
}
