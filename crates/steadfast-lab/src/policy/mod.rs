//! What decides where and when attempts are made: ours, and those of others beside it.

mod envoy;
mod failover_loop;
mod least_outstanding;
mod linkerd;
mod litellm;
mod no_retry;
mod ours;
mod pick;
mod prequal;
mod retry_only;
mod rival;
mod round_robin;
mod sdk_retry;
mod tower_p2c;
mod tower_retry;

pub(crate) use self::envoy::Outliers;
pub(crate) use self::ours::variants;
pub(crate) use self::retry_only::retry_only;

use std::time::Duration;

use http::{Request, Response};
use steadfast_core::BoxError;
use tower::util::BoxCloneSyncService;

use crate::call::Body;
use crate::endpoint::Endpoint;
use crate::scenario::Scenario;
use crate::world::World;

/// A client with a policy, ready to be sent requests.
pub type Client = BoxCloneSyncService<Request<Body>, Response<()>, BoxError>;

/// Decides where and when the attempts of a request are made.
pub trait Policy: Send + Sync {
    /// Returns its name in tables, plots and on the command line.
    fn name(&self) -> &'static str;

    /// Returns what it does and where that was published, in a sentence.
    fn about(&self) -> &'static str;

    /// Makes a client, which shares nothing with other clients. Called on the runtime of the
    /// simulation, whose clock has just begun.
    fn client(&self, setup: &Setup) -> Client;
}

/// What a policy is told when a client is made.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(crate) world: World,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) rates: Vec<f64>,
    pub(crate) attempts: u32,
    pub(crate) deadline: Duration,
    pub(crate) seed: u64,
}

impl Setup {
    pub(crate) fn new(scenario: &Scenario, world: World, seed: u64) -> Self {
        let rate = |endpoint: &Endpoint| scenario.share_of_rate(endpoint);
        Self {
            world,
            rates: scenario.endpoints.iter().map(rate).collect(),
            endpoints: scenario.endpoints.clone(),
            attempts: scenario.attempts,
            deadline: scenario.deadline,
            seed,
        }
    }

    /// Returns the HTTP client. A request goes to the endpoint that its URI names.
    #[must_use]
    pub fn http(&self) -> World {
        self.world.clone()
    }

    /// Returns the endpoints.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Returns what each endpoint can serve, as shares that add up to 1: the weights that somebody
    /// would write into a configuration.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.rates
    }

    /// Returns the most attempts of a request.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns how long a request may take in all.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Returns the seed for all random numbers of this client.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// Returns all policies, ours first.
#[must_use]
pub fn policies() -> Vec<Box<dyn Policy>> {
    let mut policies = ours::all();
    policies.extend(rival::all());
    policies.push(tower_p2c::policy());
    policies
}

#[cfg(test)]
mod tests;
