use std::net::SocketAddr;

use http::Extensions;

/// The address of a request. It overrides the lookup of the name in the URI.
///
/// If an endpoint [has an address](crate::Endpoint::connect_to), the balancer adds it to the
/// extensions of each request. The client must support it. The URI keeps the name, so `Host` and
/// the certificate match the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedAddr(SocketAddr);

impl ResolvedAddr {
    /// Creates a resolved address, for tests of a client.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Returns the resolved address from the extensions of a request, if present.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// Returns the address.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.0
    }
}
