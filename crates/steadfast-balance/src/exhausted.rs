/// What becomes of a request that no endpoint can take.
///
/// In each case a request that only has to wait for its turn at an endpoint with a
/// [learned rate](crate#the-rate-of-a-limited-endpoint) does so, in the queue of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum WhenExhausted {
    /// It ends at once with [`Exhausted`](steadfast_core::Exhausted), which says when the soonest
    /// endpoint recovers.
    #[default]
    Fail,
    /// It waits in the queue until an endpoint recovers, however long its cooldown or open
    /// breaker, within [`max_wait`](crate::EndpointBalanceBuilder::max_wait).
    Wait,
    /// It goes to the endpoint that recovers soonest although its breaker is open, if all are open
    /// and none of them is limited: one such attempt a second for all of the pool. Others end at
    /// once. An endpoint that is limited would refuse for certain.
    LeastBad,
}
