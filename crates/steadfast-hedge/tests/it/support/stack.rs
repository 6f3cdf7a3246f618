use std::time::Duration;

use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, PoolHandle};
use steadfast_hedge::{Hedge, HedgeLayer, Quantile, Share};
use tokio::time::Instant;
use tokio_test::task;
use tower::{Layer, ServiceExt};

use super::gate::{Gated, Gates, gated_balancer};
use super::{Client, Http, Net, Reply, balancer, ok, pool, post};

pub(crate) fn share(share: f64) -> Share {
    Share::new(share).expect("valid")
}

/// The delay of [`hedge`].
pub(crate) const DELAY: Duration = Duration::from_millis(100);

/// Creates a layer that hedges after [`DELAY`], without a limit of the share.
pub(crate) fn hedge() -> HedgeLayer {
    let layer = HedgeLayer::new().after(DELAY);
    layer.max_share(Share::ALL)
}

/// Creates a layer that hedges after the 95th percentile of latencies.
pub(crate) fn hedge_at_p95() -> HedgeLayer {
    let layer = HedgeLayer::new().quantile(Quantile::new(0.95).expect("valid"));
    layer.max_share(Share::ALL)
}

pub(crate) fn stack(
    layer: &HedgeLayer,
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (Hedge<EndpointBalance<Client>>, PoolHandle) {
    let (service, handle) = balancer(builder, net);
    (layer.layer(service), handle)
}

pub(crate) fn gated_stack(
    layer: &HedgeLayer,
    names: &[&str],
    net: &Net,
) -> (Hedge<EndpointBalance<Gated<Client>>>, Gates) {
    let gates = Gates::default();
    let (service, _) = gated_balancer(pool(names), net, &gates);
    (layer.layer(service), gates)
}

/// Creates servers that answer after these times.
pub(crate) fn servers<const N: usize>(after: [(&str, Duration); N]) -> Net {
    let net = Net::new();
    for (name, wait) in after {
        net.on(name, move |_| Reply::from(ok()).after(wait));
    }
    net
}

pub(crate) fn in_flight(handle: &PoolHandle) -> Vec<u32> {
    handle
        .status()
        .iter()
        .map(|status| status.in_flight)
        .collect()
}

/// Fills the share of hedges with dropped requests.
pub(crate) async fn save_up_share<S: Http>(service: &S, net: &Net) -> [usize; 3] {
    for _ in 0..20 {
        drop(task::spawn(service.clone().oneshot(post())).poll());
    }
    net.counts(["a", "b", "c"])
}

pub(crate) async fn timed(work: impl Future<Output = u16>) -> (u16, Duration) {
    let start = Instant::now();
    (work.await, start.elapsed())
}
