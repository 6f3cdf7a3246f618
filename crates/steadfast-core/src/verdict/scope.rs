/// The state that a verdict affects.
///
/// A limit of one model must not affect the other models of an endpoint. A spent quota and a
/// rejected credential concern all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The endpoint and the [`LimitKey`](crate::LimitKey) of the request. Without a key, all
    /// requests to the endpoint share this state.
    Key,
    /// All requests to the endpoint.
    Endpoint,
    /// This request only: it was too large or too expensive, for example. Other requests to the
    /// endpoint are unaffected, so no cooldown begins.
    Request,
}
