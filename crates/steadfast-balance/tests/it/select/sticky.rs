//! `Strategy::Sticky`: requests with the same affinity key use the same endpoint.

use std::time::Duration;

use http::Request;
use steadfast_balance::Strategy;
use steadfast_core::RoutingOptions;
use tokio::time::sleep;

use super::{Balancer, all_well};
use crate::support::{Body, Net, SECOND, balance, only, pool, status, wishing};

fn keyed(key: usize) -> Request<Body> {
    wishing(RoutingOptions::new().affinity_key(key.to_string()))
}

/// Returns the endpoint of each of the first 60 affinity keys.
async fn homes(net: &Net, service: &Balancer) -> Vec<&'static str> {
    let mut homes = Vec::new();
    for key in 0..60 {
        let names = ["a", "b", "c"];
        let before = net.counts(names);
        assert_eq!(status(service, keyed(key)).await, 200);
        let after = net.counts(names);
        let home = (0..3).find(|n| after[*n] > before[*n]).expect("sent");
        homes.push(names[home]);
    }
    homes
}

#[tokio::test(start_paused = true)]
async fn affinity_key_leaves_cooling_endpoint_and_returns() {
    let net = Net::new();
    all_well(&net, ["a", "b", "c"]);
    let builder = pool(&["a", "b", "c"]).strategy(Strategy::Sticky);
    let (service, handle) = balance(builder, &net);
    let first = homes(&net, &service).await;
    for name in ["a", "b", "c"] {
        let share = first.iter().filter(|home| **home == name).count();
        assert!((10..=30).contains(&share), "{name}: {share} of 60");
    }
    assert_eq!(homes(&net, &service).await, first, "they stay");

    handle.cool("b", 5 * SECOND).unwrap();
    let meanwhile = homes(&net, &service).await;
    for (home, other) in first.iter().zip(&meanwhile) {
        assert!(home == other || *home == "b", "{home} moved to {other}");
        assert_ne!(*other, "b");
    }
    let moved: Vec<_> = meanwhile
        .iter()
        .zip(&first)
        .filter(|(a, b)| a != b)
        .collect();
    assert!(moved.iter().any(|(to, _)| **to == "a"), "to all others");
    assert!(moved.iter().any(|(to, _)| **to == "c"));

    handle.cool("b", Duration::ZERO).unwrap();
    assert_eq!(status(&service, only("b")).await, 200);
    // Its rate is not known yet, and comes back within a second.
    sleep(SECOND).await;
    assert_eq!(homes(&net, &service).await, first, "and back");
}

#[tokio::test(start_paused = true)]
async fn affinity_key_maps_to_same_endpoint_in_every_instance() {
    let net = Net::new();
    all_well(&net, ["a", "b", "c"]);
    let sticky = |names: &[&str]| balance(pool(names).strategy(Strategy::Sticky), &net).0;
    let first = homes(&net, &sticky(&["a", "b", "c"])).await;
    assert_eq!(homes(&net, &sticky(&["c", "a", "b"])).await, first);
}
