use super::*;
use crate::config::PoolConfig;
use crate::pool::services::Services;
use crate::select::strategy::Strategy;
use crate::service::EndpointBalance;
use http::{Request, Response};

use std::convert::Infallible;
use tower::ServiceExt;

pub(crate) fn shared(strategy: Strategy) -> PoolContext {
    PoolContext::new(PoolConfig {
        strategy: Arc::new(strategy),
        seed: Some(1),
        ..PoolConfig::default()
    })
}

pub(crate) fn pool(tiers: &[u16]) -> Pool {
    let endpoint = |(n, tier): (usize, &u16)| {
        let endpoint = Endpoint::new(&n.to_string(), "http://a.test").unwrap();
        endpoint.tier(*tier)
    };
    Pool::new(
        shared(Strategy::Failover),
        tiers.iter().enumerate().map(endpoint).collect(),
    )
    .unwrap()
}

/// A thread that changes the endpoints may have to pause between the list and its version.
/// Requests looked again and again meanwhile, until their stack was full.
#[tokio::test]
async fn a_change_that_is_half_done_does_not_hold_a_request_up() {
    let pool = Arc::new(pool(&[0]));
    let answer = async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new()));
    let all = pool.snapshot().all.clone();
    let version = pool.version() + 1;
    pool.snapshot
        .store(Arc::new(PoolSnapshot::new(version, all)));
    let services = Services::new(pool, move |_| tower::service_fn(answer));
    let service = EndpointBalance::new(services);
    assert!(service.oneshot(Request::new(())).await.is_ok());
}
