//! Requests that no endpoint can take: they fail, wait, or use the least bad endpoint.

mod early_probes;
mod fail;
mod least_bad;
mod reasons;
mod root_cause;
mod wait;

use std::time::Duration;

use steadfast_balance::{
    EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer, PoolHandle,
};
use steadfast_core::BreakerState;

use crate::support::{
    Client, Net, connection_reset, endpoint, request_only_to, send_for_status, status_of,
};

type Balancer = EndpointBalance<Client>;

const MINUTE: Duration = Duration::from_secs(60);

/// A pool without early probes, with breakers that stay open for a minute.
fn pool_with_long_recovery(names: &[&str]) -> EndpointBalanceBuilder {
    let breaker = || {
        let breaker = steadfast_balance::Endpoint::default_breaker();
        let breaker = breaker.max_recovery_timeout(MINUTE);
        breaker.recovery_timeout(MINUTE).jitter(0.0)
    };
    let endpoints = names.iter().map(|name| endpoint(name).breaker(breaker()));
    EndpointBalanceLayer::builder()
        .probe_wait(Duration::ZERO)
        .endpoints(endpoints)
}

/// Sends failing requests to an endpoint until its breaker opens.
async fn open_breaker(service: &Balancer, handle: &PoolHandle, net: &Net, name: &str) {
    net.on(name, |_| connection_reset());
    while status_of(handle, name).breaker == BreakerState::Closed {
        assert_eq!(send_for_status(service, request_only_to(name)).await, 0);
    }
}
