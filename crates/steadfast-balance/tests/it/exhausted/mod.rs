//! Requests that no endpoint can take: they fail, wait, or use the least bad endpoint.

mod fail;
mod least_bad;
mod wait;

use std::time::Duration;

use steadfast_balance::{
    EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer, PoolHandle,
};
use steadfast_core::BreakerState;

use crate::support::{Client, Net, endpoint, of, only, reset, status};

type Balancer = EndpointBalance<Client>;

const MINUTE: Duration = Duration::from_secs(60);

/// A pool with breakers that stay open for a minute.
fn fragile(names: &[&str]) -> EndpointBalanceBuilder {
    let breaker = || {
        let breaker = steadfast_balance::Endpoint::default_breaker();
        let breaker = breaker.max_recovery_timeout(MINUTE);
        breaker.recovery_timeout(MINUTE).jitter(0.0)
    };
    let endpoints = names.iter().map(|name| endpoint(name).breaker(breaker()));
    EndpointBalanceLayer::builder().endpoints(endpoints)
}

/// Sends failing requests to an endpoint until its breaker opens.
async fn open(service: &Balancer, handle: &PoolHandle, net: &Net, name: &str) {
    net.on(name, |_| reset());
    while of(handle, name).breaker == BreakerState::Closed {
        assert_eq!(status(service, only(name)).await, 0);
    }
}
