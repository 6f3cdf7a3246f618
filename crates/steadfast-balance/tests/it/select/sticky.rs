//! `Strategy::Sticky`: requests with the same affinity key use the same endpoint.

use std::time::Duration;

use http::Request;
use steadfast_balance::Strategy;
use steadfast_core::RoutingOptions;
use tokio::time::sleep;

use super::{Balancer, all_healthy};
use crate::support::{
    Body, Net, SECOND, balancer, pool, request_only_to, request_with, send_for_status,
};

fn request_with_affinity_key(key: usize) -> Request<Body> {
    request_with(RoutingOptions::new().affinity_key(key.to_string()))
}

/// Returns the endpoint of each of the first 60 affinity keys.
async fn endpoints_of_keys(net: &Net, service: &Balancer) -> Vec<&'static str> {
    let mut homes = Vec::new();
    for key in 0..60 {
        let names = ["a", "b", "c"];
        let before = net.counts(names);
        assert_eq!(
            send_for_status(service, request_with_affinity_key(key)).await,
            200
        );
        let after = net.counts(names);
        let home = (0..3).find(|n| after[*n] > before[*n]).expect("sent");
        homes.push(names[home]);
    }
    homes
}

#[tokio::test(start_paused = true)]
async fn affinity_key_leaves_cooling_endpoint_and_returns() {
    let net = Net::new();
    all_healthy(&net, ["a", "b", "c"]);
    let builder = pool(&["a", "b", "c"]).strategy(Strategy::Sticky);
    let (service, handle) = balancer(builder, &net);
    let first = endpoints_of_keys(&net, &service).await;
    for name in ["a", "b", "c"] {
        let share = first.iter().filter(|home| **home == name).count();
        assert!((10..=30).contains(&share), "{name}: {share} of 60");
    }
    assert_eq!(
        endpoints_of_keys(&net, &service).await,
        first,
        "the keys stay"
    );

    handle.cool("b", 5 * SECOND).unwrap();
    let meanwhile = endpoints_of_keys(&net, &service).await;
    for (home, other) in first.iter().zip(&meanwhile) {
        assert!(home == other || *home == "b", "{home} moved to {other}");
        assert_ne!(*other, "b");
    }
    let moved: Vec<_> = meanwhile
        .iter()
        .zip(&first)
        .filter(|(a, b)| a != b)
        .collect();
    assert!(
        moved.iter().any(|(to, _)| **to == "a"),
        "keys move to all others"
    );
    assert!(moved.iter().any(|(to, _)| **to == "c"));

    handle.cool("b", Duration::ZERO).unwrap();
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 200);
    // The recovery after the cooldown takes a second.
    sleep(SECOND).await;
    assert_eq!(
        endpoints_of_keys(&net, &service).await,
        first,
        "the keys return"
    );
}

#[tokio::test(start_paused = true)]
async fn affinity_key_maps_to_same_endpoint_in_every_instance() {
    let net = Net::new();
    all_healthy(&net, ["a", "b", "c"]);
    let sticky = |names: &[&str]| balancer(pool(names).strategy(Strategy::Sticky), &net).0;
    let first = endpoints_of_keys(&net, &sticky(&["a", "b", "c"])).await;
    assert_eq!(
        endpoints_of_keys(&net, &sticky(&["c", "a", "b"])).await,
        first
    );
}
