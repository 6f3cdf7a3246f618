//! Pools and endpoints without learned send rates.

use std::time::Duration;

use steadfast_balance::EndpointBalanceBuilder;
use tokio::time::sleep;

use super::{server_with_limit, spawn_request};
use crate::support::{
    MS, Net, balancer, endpoint, pool, request_only_to, status_of, with_deadline,
};

/// Sends 100 requests per second to each of `a` and `b`, which allow 20. Returns whether a rate was
/// ever known, and the longest queue, for each.
async fn overload(builder: EndpointBalanceBuilder) -> [(bool, usize); 2] {
    let mut found = [(false, 0); 2];
    for (name, found) in ["a", "b"].into_iter().zip(&mut found) {
        let net = Net::new();
        net.on("a", server_with_limit(20.0));
        net.on("b", server_with_limit(20.0));
        let (service, handle) = balancer(builder.clone(), &net);
        for _ in 0..1_500 {
            let request = with_deadline(request_only_to(name), 200 * MS);
            drop(spawn_request(&service, request));
            sleep(10 * MS).await;
            found.0 |= status_of(&handle, name).rate.is_some();
            found.1 = found.1.max(handle.waiting());
        }
        sleep(Duration::from_secs(1)).await;
        // Cooldowns remain.
        let sent = net.count(name);
        assert!(sent < 1_200, "{sent} at {name}");
    }
    found
}

#[tokio::test(start_paused = true)]
async fn endpoint_without_learned_rate_has_neither_rate_nor_queue() {
    let builder = pool(&["b"]).endpoint(endpoint("a").learned_rate(false));
    let [a, b] = overload(builder).await;
    println!("{a:?} {b:?}");
    assert!(!a.0, "{a:?}");
    assert!(b.0 && b.1 > 0, "{b:?}");
}

#[tokio::test(start_paused = true)]
async fn pool_without_learned_rates_has_neither_rates_nor_queue() {
    let found = overload(pool(&["a", "b"]).learned_rates(false)).await;
    println!("{found:?}");
    assert!(found.iter().all(|found| !found.0), "{found:?}");
}
