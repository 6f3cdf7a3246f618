//! A waiter that is not polled, or waits for a service, does not block the queue.

use steadfast_balance::{EndpointBalance, PoolHandle};
use tokio::time::{Instant, advance, sleep};
use tower::{Service, ServiceExt};

use super::{
    is_served, pool_without_slots, queued_waiter, server_with_limit_of_ten, spawn_request,
    use_all_slots,
};
use crate::support::gate::{Gated, Gates, gated_balancer};
use crate::support::{Client, MS, Net, SECOND, get, pool, send_for_status};

/// A task may hold a future without polling it. All later waiters waited behind it until their own
/// bounds.
#[tokio::test(start_paused = true)]
async fn unpolled_head_blocks_the_queue_only_for_the_grace() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]), &net).await;
    let start = Instant::now();
    let mut held = queued_waiter(&service, get());
    let others: Vec<_> = (0..5).map(|_| spawn_request(&service, get())).collect();
    sleep(MS).await;
    let late = tokio::spawn({
        let service = service.clone();
        async move {
            sleep(350 * MS).await;
            send_for_status(&service, get()).await
        }
    });
    for (n, other) in (0..).zip(others) {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
        // The first slot, the grace, and the slots of the earlier waiters.
        let most = (210 + n * 100) * MS + 5 * MS;
        assert!(start.elapsed() <= most, "{n}: {:?}", start.elapsed());
    }
    assert_eq!(late.await.unwrap(), 200);
    assert_eq!(handle.waiting(), 1);
    // The held waiter is still the first when it is polled.
    advance(120 * MS).await;
    assert!(is_served(&mut held));
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn several_unpolled_waiters_do_not_block_the_queue() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]), &net).await;
    let held = [(); 4].map(|()| queued_waiter(&service, get()));
    let start = Instant::now();
    // Later requests let the time pass.
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(spawn_request(&service, get()));
        sleep(150 * MS).await;
    }
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    assert!(start.elapsed() <= 3_500 * MS, "{:?}", start.elapsed());
    assert_eq!(handle.waiting(), held.len());
    drop(held);
    assert_eq!(handle.waiting(), 0);
}

/// The service has a queue of its own. Its waiters leave the queue of the pool.
#[tokio::test(start_paused = true)]
async fn waiter_for_busy_service_does_not_block_the_queue() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, handle) = gated_pool_without_slots(&net, &gates).await;
    gates.set_free_slots("a", 0);
    let mut held = tokio_test::task::spawn(service.clone().call(get()));
    assert!(held.poll().is_pending());
    advance(SECOND).await;
    assert!(
        held.poll().is_pending(),
        "the slot is due, and the service is busy"
    );
    gates.set_free_slots("a", 5);
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert!(start.elapsed() <= SECOND, "{:?}", start.elapsed());
    drop(held);
    assert_eq!((handle.waiting(), gates.free_slots("a")), (0, 5));
}

/// A new request would get the same error.
#[tokio::test(start_paused = true)]
async fn readiness_error_is_returned_and_does_not_block_the_queue() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, handle) = gated_pool_without_slots(&net, &gates).await;
    let start = Instant::now();
    let waiters = [(); 2].map(|()| tokio::spawn(service.clone().oneshot(get())));
    sleep(MS).await;
    gates.fail_readiness("a", 1);
    let [first, second] = waiters;
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert!(start.elapsed() <= SECOND / 2, "{:?}", start.elapsed());
    assert_eq!(handle.waiting(), 0);
}

/// An endpoint with a learned rate of ten per second, no slot left, and a gated service.
async fn gated_pool_without_slots(
    net: &Net,
    gates: &Gates,
) -> (EndpointBalance<Gated<Client>>, PoolHandle) {
    net.on("a", server_with_limit_of_ten);
    let (service, handle) = gated_balancer(pool(&["a"]), net, gates);
    use_all_slots(&service, &handle).await;
    (service, handle)
}
