use std::sync::Arc;

use http::Extensions;
use steadfast_core::EndpointName;

/// What a request asks of the balancer, by its extensions.
///
/// ```
/// use steadfast_balance::RoutingOptions;
///
/// let mut request = http::Request::new(());
/// let wishes = RoutingOptions::new().exclude("us-east").affinity_key("conversation-17").estimated_tokens(1200);
/// request.extensions_mut().insert(wishes);
/// ```
///
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingOptions(Arc<Wanted>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    only: Vec<EndpointName>,
    not: Vec<EndpointName>,
    prefer: Option<EndpointName>,
    affinity_key: Option<u64>,
    tokens: Option<u64>,
}

impl RoutingOptions {
    /// Creates wishes that ask for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the wishes in the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Allows this endpoint, and no other but those named in the same way.
    ///
    /// For requests that mean something there only, such as one for a file that was uploaded to
    /// it. With a name that no endpoint has, the request ends as
    /// [`Exhausted`](steadfast_core::Exhausted).
    #[must_use]
    pub fn only(self, name: impl Into<EndpointName>) -> Self {
        self.with(|wanted| wanted.only.push(name.into()))
    }

    /// Forbids this endpoint.
    #[must_use]
    pub fn exclude(self, name: impl Into<EndpointName>) -> Self {
        self.with(|wanted| wanted.not.push(name.into()))
    }

    /// Asks for this endpoint whenever it can take the request, whatever its tier and whatever
    /// the strategy says.
    #[must_use]
    pub fn prefer(self, name: impl Into<EndpointName>) -> Self {
        self.with(|wanted| wanted.prefer = Some(name.into()))
    }

    /// Sets what [`Strategy::Sticky`](crate::Strategy::Sticky) goes by: requests with the same key
    /// go to the same endpoint while that can take them.
    #[must_use]
    pub fn affinity_key(self, key: impl AsRef<[u8]>) -> Self {
        let hash = fnv1a(key.as_ref());
        self.with(|wanted| wanted.affinity_key = Some(hash))
    }

    /// Sets how many tokens of a language model the request will probably use, prompt and answer
    /// together. An endpoint that has said that fewer remain is passed over until its reset.
    #[must_use]
    pub fn estimated_tokens(self, tokens: u64) -> Self {
        self.with(|wanted| wanted.tokens = Some(tokens))
    }

    /// Returns whether the request is restricted to endpoints that it names.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        !self.0.only.is_empty()
    }

    /// Whether only one endpoint may take it.
    pub(crate) fn is_bound(&self) -> bool {
        self.0.only.len() == 1
    }

    pub(crate) fn allow(&self, name: &EndpointName) -> bool {
        let Wanted { only, not, .. } = &*self.0;
        (only.is_empty() || only.contains(name)) && !not.contains(name)
    }

    pub(crate) fn preferred(&self) -> Option<&EndpointName> {
        self.0.prefer.as_ref()
    }

    pub(crate) fn key(&self) -> Option<u64> {
        self.0.affinity_key
    }

    pub(crate) fn tokens(&self) -> Option<u64> {
        self.0.tokens
    }

    fn with(mut self, change: impl FnOnce(&mut Wanted)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// A hash that is the same in every process and of every version, since the caches of endpoints
/// outlive both.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_allowed_and_forbidden() {
        let (a, b) = (EndpointName::new("a"), EndpointName::new("b"));
        assert!(RoutingOptions::new().allow(&a));
        let only = RoutingOptions::new().only("a");
        assert!(only.allow(&a) && !only.allow(&b) && only.is_restricted());
        let not = only.only("b").exclude("a");
        assert!(!not.allow(&a) && not.allow(&b));
    }

    /// The published vectors of FNV-1a.
    #[test]
    fn a_key_has_the_same_hash_everywhere() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
