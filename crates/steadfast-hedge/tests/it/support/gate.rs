use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, PoolHandle};
use tower::Layer;

pub(crate) use steadfast_testkit::net::{Gated, Gates};

use super::{Client, Net};

/// A balancer with a gate before each endpoint.
pub(crate) fn gated_balancer(
    builder: EndpointBalanceBuilder,
    net: &Net,
    gates: &Gates,
) -> (EndpointBalance<Gated<Client>>, PoolHandle) {
    let gates = gates.clone();
    let layer = builder
        .endpoint_layer(move |endpoint| gates.layer(endpoint.name().as_str()))
        .build()
        .expect("valid");
    let handle = layer.handle();
    (layer.layer(net.client()), handle)
}
