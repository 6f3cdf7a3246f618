use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_core::{BreakerState, EndpointName};
use tokio::time::Instant;

use crate::member::Member;
use crate::pool::Pool;

/// Reads the state of a balancer's endpoints. Reading moves nothing but what time has moved.
#[derive(Clone)]
pub struct PoolHandle(Arc<Pool>);

/// What is known of one endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Its name.
    pub name: EndpointName,
    /// Its base URI, without credentials.
    pub base: String,
    /// Its tier.
    pub tier: u16,
    /// Whether it could take a request now.
    pub admissible: bool,
    /// The state of its breaker.
    pub breaker: BreakerState,
    /// The share of successes among the last outcomes, 1 if nothing is known.
    pub health: f64,
    /// How long it is still left alone, if it cools.
    pub cooling: Option<Duration>,
    /// The requests a second that it was seen to take, if it has been limited lately.
    pub rate: Option<f64>,
    /// Requests that were sent and whose response has not ended.
    pub in_flight: u32,
    /// A moving average of the time to the head of a successful response.
    pub latency: Option<Duration>,
}

impl PoolHandle {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self(pool)
    }

    /// Returns the state of all endpoints, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<EndpointStatus> {
        let now = Instant::now();
        let status = |member: &Member| EndpointStatus {
            name: member.endpoint.name.clone(),
            base: member.endpoint.base(),
            tier: member.endpoint.tier,
            admissible: member.is_admissible(now),
            breaker: member.breaker.state(),
            health: member.breaker.health(),
            cooling: member
                .cooldown
                .until(now)
                .map(|until| until.saturating_duration_since(now)),
            rate: member.cooldown.rate(),
            in_flight: member.in_flight.load(Ordering::Relaxed),
            latency: member.latency.seconds().map(Duration::from_secs_f64),
        };
        self.0.members.iter().map(status).collect()
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolHandle").field(&self.status()).finish()
    }
}
