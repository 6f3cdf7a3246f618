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
pub struct RoutingOptions {
    options: Arc<Options>,
    format: Option<&'static str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    only: Vec<EndpointName>,
    exclude: Vec<EndpointName>,
    prefer: Option<EndpointName>,
    affinity_key: Option<u64>,
    tokens: Option<u64>,
    ranks: Vec<(EndpointName, u32)>,
    /// The bits of numbers that are positive and finite.
    weights: Vec<(EndpointName, u64)>,
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

    /// Sets the rank of an endpoint for this request. Defaults to zero. An endpoint is used only if
    /// no endpoint of a lower rank can take the request now. Ranks precede tiers.
    #[must_use]
    pub fn rank(self, name: impl Into<EndpointName>, rank: u32) -> Self {
        let name = name.into();
        self.with(|options| {
            options.ranks.retain(|(other, _)| *other != name);
            options.ranks.push((name, rank));
        })
    }

    /// Sets the weight of an endpoint for this request, in place of its own. A weight that is not
    /// positive and finite has no effect.
    ///
    /// Requests with weights are distributed over the endpoints of the lowest rank and tier in
    /// proportion to them. A strategy with another order, such as the least load, applies them to
    /// it.
    #[must_use]
    pub fn weight(self, name: impl Into<EndpointName>, weight: f64) -> Self {
        if !(weight.is_finite() && weight > 0.0) {
            return self;
        }
        let name = name.into();
        self.with(|options| {
            options.weights.retain(|(other, _)| *other != name);
            options.weights.push((name, weight.to_bits()));
        })
    }

    /// Adds the ranks and weights of `other`, and the endpoints that it is restricted to, as
    /// further calls of [`only`](Self::only) do. The other options stay.
    #[must_use]
    pub fn and_only(self, other: &Self) -> Self {
        self.with(|options| {
            options.only.extend_from_slice(&other.options.only);
            options.ranks.extend_from_slice(&other.options.ranks);
            options.weights.extend_from_slice(&other.options.weights);
        })
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

    /// Sets the format of the request. It goes only to endpoints that take this format.
    ///
    /// `AiStack` sets it by the path of a request, and `Endpoint::formats` declares the formats of
    /// an endpoint. An endpoint without declared formats takes all.
    #[must_use]
    pub fn format(mut self, format: &'static str) -> Self {
        self.format = Some(format);
        self
    }

    /// Returns the [format](Self::format) of the request.
    #[must_use]
    pub fn known_format(&self) -> Option<&'static str> {
        self.format
    }

    /// Returns whether the request is restricted to endpoints by [`only`](Self::only).
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        !self.options.only.is_empty()
    }

    /// Returns whether the request is restricted to one endpoint.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.options.only.len() == 1
    }

    /// Returns whether the request may go to the endpoint with this name.
    #[must_use]
    pub fn allows(&self, name: &EndpointName) -> bool {
        let Options { only, exclude, .. } = &*self.options;
        (only.is_empty() || only.contains(name)) && !exclude.contains(name)
    }

    /// Returns the [rank](Self::rank) of the endpoint with this name.
    #[must_use]
    pub fn rank_of(&self, name: &EndpointName) -> u32 {
        let known = self.options.ranks.iter().find(|(other, _)| other == name);
        known.map_or(0, |(_, rank)| *rank)
    }

    /// Returns whether an endpoint has a [rank](Self::rank).
    #[must_use]
    pub fn has_ranks(&self) -> bool {
        !self.options.ranks.is_empty()
    }

    /// Returns the [weight](Self::weight) of the endpoint with this name, if it is set.
    #[must_use]
    pub fn weight_of(&self, name: &EndpointName) -> Option<f64> {
        let known = self.options.weights.iter().find(|(other, _)| other == name);
        known.map(|(_, bits)| f64::from_bits(*bits))
    }

    /// Returns whether an endpoint has a [weight](Self::weight) for this request.
    #[must_use]
    pub fn has_weights(&self) -> bool {
        !self.options.weights.is_empty()
    }

    /// Returns the [preferred](Self::prefer) endpoint.
    #[must_use]
    pub fn preferred(&self) -> Option<&EndpointName> {
        self.options.prefer.as_ref()
    }

    /// Returns a hash of the [affinity key](Self::affinity_key).
    #[must_use]
    pub fn affinity_hash(&self) -> Option<u64> {
        self.options.affinity_key
    }

    /// Returns the [estimated tokens](Self::estimated_tokens).
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        self.options.tokens
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_of_unnamed_endpoint_is_zero() {
        let (a, b) = (EndpointName::new("a"), EndpointName::new("b"));
        let options = RoutingOptions::new().rank("a", 1).rank("a", 2);
        assert_eq!((options.rank_of(&a), options.rank_of(&b)), (2, 0));
        let both = RoutingOptions::new()
            .exclude("b")
            .and_only(&options.only("a"));
        assert!(both.is_restricted() && both.has_ranks() && both.rank_of(&a) == 2);
        assert!(both.allows(&a) && !both.allows(&b));
    }

    #[test]
    fn format_stays_beside_the_other_options() {
        let options = RoutingOptions::new().format("messages").exclude("a");
        assert_eq!(options.known_format(), Some("messages"));
        let both = options.and_only(&RoutingOptions::new().only("b").format("other"));
        assert_eq!(both.known_format(), Some("messages"));
        assert_ne!(both.clone().format("other"), both);
    }

    #[test]
    fn weight_is_positive_and_finite() {
        let a = EndpointName::new("a");
        let options = RoutingOptions::new().weight("a", 2.0);
        for invalid in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                options.clone().weight("a", invalid).weight_of(&a),
                Some(2.0)
            );
            assert!(!RoutingOptions::new().weight("a", invalid).has_weights());
        }
        let options = options.weight("a", 3.0);
        let both = RoutingOptions::new().exclude("b").and_only(&options);
        assert_eq!(
            (both.weight_of(&a), options.weight_of(&a)),
            (Some(3.0), Some(3.0))
        );
        assert_eq!(both.weight_of(&EndpointName::new("b")), None);
    }

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
