use super::*;
use crate::config::PoolConfig;
use crate::pool::services::Services;
use crate::select::strategy::Strategy;
use crate::service::EndpointBalance;
use http::{Request, Response};

use std::convert::Infallible;
use tower::ServiceExt;

/// Returns the context of a pool with a fixed seed.
pub(crate) fn shared(strategy: Strategy) -> PoolContext {
    PoolContext::new(PoolConfig {
        strategy: Arc::new(strategy),
        seed: Some(1),
        ..PoolConfig::default()
    })
}

/// Returns a pool with one endpoint for each of these tiers.
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

/// A thread may be suspended between its stores of the new snapshot and of the new version.
/// Requests used to repeat their check of the version meanwhile, until their stack was exhausted.
#[tokio::test]
async fn change_without_its_version_does_not_block_a_request() {
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
