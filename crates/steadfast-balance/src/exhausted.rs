/// The treatment of a request without an admissible endpoint.
///
/// Each variant queues a request that needs only a slot of an endpoint with a learned send rate
/// (see [selection](crate#selection)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum WhenExhausted {
    /// Fails at once with [`Exhausted`](steadfast_core::Exhausted), which has the soonest recovery.
    #[default]
    Fail,
    /// Queues the request until an endpoint recovers, also from a cooldown or an open breaker,
    /// within [`max_wait`](crate::EndpointBalanceBuilder::max_wait).
    Wait,
    /// Tries the endpoint with the soonest recovery, if all breakers are open and no endpoint is
    /// cooling. One such attempt per second passes, and other requests fail at once. A cooling
    /// endpoint would refuse for certain.
    LeastBad,
}
