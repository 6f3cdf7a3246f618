use std::sync::Arc;

use http::Extensions;

use crate::endpoint::EndpointName;
use crate::stable_hash::stable_hash;

/// The constraints and preferences of one request for the choice of its endpoint, as a request
/// extension.
///
/// ```
/// use steadfast_core::RoutingOptions;
///
/// let mut request = http::Request::new(());
/// let options = RoutingOptions::new()
///     .exclude("us-east")
///     .affinity_key("conversation-17")
///     .estimated_tokens(1200);
/// request.extensions_mut().insert(options);
/// ```
///
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingOptions(Arc<Options>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    only: Vec<EndpointName>,
    exclude: Vec<EndpointName>,
    prefer: Option<EndpointName>,
    affinity_key: Option<u64>,
    tokens: Option<u64>,
}

impl RoutingOptions {
    /// Creates options without a constraint or a preference.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the options in the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Restricts the request to this endpoint. Further calls add endpoints.
    ///
    /// For a request that names state of one endpoint, such as an uploaded file. If no endpoint
    /// has the name, the request ends with [`Exhausted`](crate::Exhausted).
    #[must_use]
    pub fn only(self, name: impl Into<EndpointName>) -> Self {
        self.with(|options| options.only.push(name.into()))
    }

    /// Excludes this endpoint.
    #[must_use]
    pub fn exclude(self, name: impl Into<EndpointName>) -> Self {
        self.with(|options| options.exclude.push(name.into()))
    }

    /// Prefers this endpoint whenever it is admissible, before tiers and strategy.
    #[must_use]
    pub fn prefer(self, name: impl Into<EndpointName>) -> Self {
        self.with(|options| options.prefer = Some(name.into()))
    }

    /// Sets the key of a sticky strategy: requests with one key go to one endpoint while that
    /// endpoint is admissible.
    #[must_use]
    pub fn affinity_key(self, key: impl AsRef<[u8]>) -> Self {
        let hash = stable_hash(key.as_ref());
        self.with(|options| options.affinity_key = Some(hash))
    }

    /// Sets the tokens of a language model that the request will probably use, prompt and answer
    /// together. An endpoint with fewer remaining tokens is not admissible until its reset.
    #[must_use]
    pub fn estimated_tokens(self, tokens: u64) -> Self {
        self.with(|options| options.tokens = Some(tokens))
    }

    /// Returns whether the request is restricted to endpoints by [`only`](Self::only).
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        !self.0.only.is_empty()
    }

    /// Returns whether the request is restricted to one endpoint.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.0.only.len() == 1
    }

    /// Returns whether the request may go to the endpoint with this name.
    #[must_use]
    pub fn allows(&self, name: &EndpointName) -> bool {
        let Options { only, exclude, .. } = &*self.0;
        (only.is_empty() || only.contains(name)) && !exclude.contains(name)
    }

    /// Returns the [preferred](Self::prefer) endpoint.
    #[must_use]
    pub fn preferred(&self) -> Option<&EndpointName> {
        self.0.prefer.as_ref()
    }

    /// Returns a hash of the [affinity key](Self::affinity_key).
    #[must_use]
    pub fn affinity_hash(&self) -> Option<u64> {
        self.0.affinity_key
    }

    /// Returns the [estimated tokens](Self::estimated_tokens).
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        self.0.tokens
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_and_exclude_restrict_the_endpoints() {
        let (a, b) = (EndpointName::new("a"), EndpointName::new("b"));
        assert!(RoutingOptions::new().allows(&a));
        let only = RoutingOptions::new().only("a");
        assert!(only.allows(&a) && !only.allows(&b) && only.is_restricted() && only.is_pinned());
        let not = only.only("b").exclude("a");
        assert!(!not.allows(&a) && not.allows(&b));
    }
}
