/// The requests that share the cooldown, the send rate and the quotas of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limits {
    /// The requests with the same [`LimitKey`](steadfast_core::LimitKey), usually the model.
    /// Requests without a key share one state.
    ///
    /// An endpoint that [passes credentials on](crate::Endpoint::pass_credentials) has a state for
    /// each key of each credential.
    #[default]
    PerKey,
    /// All requests, whatever their key and their credential.
    Shared,
}
