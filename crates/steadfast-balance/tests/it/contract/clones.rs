//! State shared by clones, and the traits of the public types.

use std::sync::Arc;

use steadfast_balance::{
    EndpointBalance, EndpointBalanceLayer, MakeEndpointLayer, NoEndpointLayer, PoolHandle,
    ResponseBody, ResponseFuture,
};
use tower::{Layer, Service};

use crate::support::{Body, Client, Net, Stream, get, pool, refusal, send_for_status};

#[tokio::test(start_paused = true)]
async fn clones_and_services_of_a_layer_share_state() {
    let net = Net::new();
    net.on("a", |_| refusal("1"));
    let layer = pool(&["a"]).build().expect("valid");
    let first = layer.layer(net.client());
    let second = layer.layer(net.client());
    assert_eq!(send_for_status(&first, get()).await, 429);
    for service in [&first.clone(), &second] {
        assert_eq!(send_for_status(service, get()).await, 0);
    }
    assert_eq!(net.count("a"), 1);
}

#[test]
fn endpoint_layer_is_applied_once_per_endpoint() {
    let made = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = made.clone();
    let layer = pool(&["a", "b"])
        .endpoint_layer(move |endpoint| {
            log.lock().unwrap().push(endpoint.name().to_string());
            tower::layer::util::Identity::new()
        })
        .build()
        .expect("valid");
    let service = layer.layer(Net::new().client());
    let _ = (service.clone(), service);
    assert_eq!(*made.lock().unwrap(), ["a", "b"]);
}

/// Compiles only while the middleware adds no bounds of its own to these traits.
#[expect(dead_code, reason = "it only has to compile")]
fn keeps_auto_traits<S: Send + Sync>(
    service: EndpointBalance<S>,
    layer: EndpointBalanceLayer<NoEndpointLayer>,
    body: ResponseBody<Stream>,
    handle: PoolHandle,
) where
    NoEndpointLayer: MakeEndpointLayer,
{
    fn check<T: Send + Sync + Clone>(_: T) {}
    fn check_send<T: Send + Unpin>(_: T) {}
    check(service);
    check(layer);
    check(handle);
    check_send(body);
}

#[expect(dead_code, reason = "it only has to compile")]
fn futures_are_send(mut service: EndpointBalance<Client>) {
    fn check<T: Send>(_: T) {}
    let future: ResponseFuture<Client, Body> = service.call(get());
    check(future);
}
