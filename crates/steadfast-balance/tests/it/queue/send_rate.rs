//! Pools and endpoints without learned send rates, and a rate from before an outage.

use std::time::Duration;

use steadfast_balance::EndpointBalanceBuilder;
use tokio::time::{Instant, sleep};

use super::{server_with_limit, spawn_request};
use crate::support::{
    MS, Net, SECOND, balancer, connection_refused, endpoint, get, ok, pool, request_only_to,
    send_for_status, status_of, with_deadline,
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

/// The rate of an endpoint that had refused nearly everything was kept through its outage. After
/// the recovery, one request per several seconds was served, and the others were rejected.
#[tokio::test(start_paused = true)]
async fn send_rate_from_before_an_outage_delays_no_request_after_it() {
    let net = Net::new();
    net.on("a", server_with_limit(1.0));
    let (service, handle) = balancer(pool(&["a"]), &net);
    for _ in 0..60 {
        drop(spawn_request(&service, with_deadline(get(), SECOND)));
        sleep(SECOND / 2).await;
    }
    assert!(status_of(&handle, "a").rate.is_some_and(|rate| rate < 2.0));
    net.on("a", |_| connection_refused());
    for _ in 0..20 {
        assert_ne!(send_for_status(&service, get()).await, 200);
        sleep(SECOND).await;
    }
    net.on("a", |_| ok());
    sleep(SECOND).await;
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    let took = start.elapsed();
    assert!(took <= 2 * SECOND, "{took:?}");
    assert_eq!(status_of(&handle, "a").rate, None);
}
