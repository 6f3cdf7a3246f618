//! Health checks: their requests, and their effect on breakers and benches.

mod bench;
mod breaker;
mod checks;
mod schedule;

use std::time::Duration;

use steadfast_balance::{
    CheckOutcome, EndpointBalance, EndpointBalanceBuilder, HealthCheck, HealthChecks, PoolHandle,
};
use steadfast_core::BreakerState;
use tokio::time::Instant;

use crate::support::{
    Body, Client, Net, balancer, connection_refused, get, ok, send_for_status, status_of,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Checks without jitter: the first at once, the others every ten seconds.
fn every_ten_seconds() -> HealthCheck {
    HealthCheck::new().jitter(0.0)
}

/// A balancer with servers for requests, and separate servers for checks.
struct Setup {
    requests: Net,
    checks: Net,
    service: EndpointBalance<Client>,
    handle: PoolHandle,
}

fn pool_with_checks(builder: EndpointBalanceBuilder, names: &[&str]) -> Setup {
    let (requests, checks) = (Net::new(), Net::new());
    for name in names {
        requests.on(name, |_| ok());
        checks.on(name, |_| ok());
    }
    let (service, handle) = balancer(builder, &requests);
    Setup {
        requests,
        checks,
        service,
        handle,
    }
}

impl Setup {
    fn start(&self, check: &HealthCheck) -> HealthChecks {
        check
            .start::<_, Body, _>(&self.handle, self.checks.client())
            .expect("valid")
    }

    async fn status(&self) -> u16 {
        send_for_status(&self.service, get()).await
    }

    fn check_outcome(&self, name: &str) -> Option<CheckOutcome> {
        status_of(&self.handle, name)
            .checked
            .map(|checked| checked.finding)
    }

    fn breaker(&self, name: &str) -> BreakerState {
        status_of(&self.handle, name).breaker
    }

    async fn open_breaker(&self, name: &str) {
        self.requests.on(name, |_| connection_refused());
        for _ in 0..7 {
            self.status().await;
        }
        assert_eq!(self.breaker(name), BreakerState::Open);
    }
}

/// Returns the times of the checks, in seconds since `start`.
fn check_times(net: &Net, name: &str, start: Instant) -> Vec<f64> {
    let sent = net.sent(name).into_iter();
    sent.map(|sent| (sent.at - start).as_secs_f64()).collect()
}
