use std::net::SocketAddr;

use http::Extensions;

/// Says to which address a request goes, whatever the name in its URI resolves to.
///
/// The balancer puts it into the extensions of each request to an endpoint that
/// [has one](crate::Endpoint::connect_to), for a client that can do something with it. The URI
/// keeps the name, so `Host` and the certificate are those of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedAddr(SocketAddr);

impl ResolvedAddr {
    /// Creates one for the tests of a client.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Returns that of a request, if it has one.
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
