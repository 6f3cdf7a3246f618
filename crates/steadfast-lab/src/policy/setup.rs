//! The input of a policy: endpoints and limits of a scenario.

use std::time::Duration;

use crate::world::{Caller, Endpoint, Scenario, World};

/// The input of a policy for a new client.
///
/// A policy uses the endpoints in their order, or by their weights. It knows neither their limits
/// nor their faults: a real client has only answers. See [`Policy`](crate::Policy) for an example.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The HTTP client.
    pub(crate) world: World,
    /// The endpoints, in the order of preference.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The share of each endpoint in the capacity of all.
    pub(crate) rates: Vec<f64>,
    /// The maximum number of attempts of a request.
    pub(crate) attempts: u32,
    /// The deadline, if callers state it.
    pub(crate) deadline: Option<Duration>,
    /// Whether callers have credentials of their own.
    pub(crate) credentials: bool,
    /// The seed of the client.
    pub(crate) seed: u64,
}

impl Setup {
    /// Creates the setup of one client of a scenario.
    pub(crate) fn new(scenario: &Scenario, world: World, seed: u64) -> Self {
        let rate = |endpoint: &Endpoint| scenario.share_of_rate(endpoint);
        Self {
            world,
            rates: scenario.endpoints.iter().map(rate).collect(),
            endpoints: scenario.endpoints.clone(),
            attempts: scenario.attempts,
            deadline: scenario.states_deadline.then_some(scenario.deadline),
            credentials: scenario.callers.iter().any(Caller::has_credential),
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

    /// Returns the capacity of each endpoint as a share of 1: the weights of a perfect
    /// configuration.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.rates
    }

    /// Returns the maximum number of attempts of a request.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the time limit of a request, or `None` if callers do not state it.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns whether callers have credentials of their own, which a policy passes on to the
    /// endpoints.
    #[must_use]
    pub fn passes_credentials(&self) -> bool {
        self.credentials
    }

    /// Returns the seed for all random numbers of this client.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
