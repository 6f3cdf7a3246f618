//! The input of a policy: endpoints and limits of a scenario.

use std::time::Duration;

use crate::world::{Caller, Endpoint, Scenario, World};

/// The input of a policy for a new client.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(crate) world: World,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) rates: Vec<f64>,
    pub(crate) attempts: u32,
    pub(crate) deadline: Option<Duration>,
    pub(crate) credentials: bool,
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

    /// Returns the most attempts of a request.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns how long a request may take in all, if callers state it.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns whether callers have credentials of their own, which are to be passed on.
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
