//! Waiters are served in the order of their arrival.

use steadfast_balance::WhenExhausted;
use steadfast_core::RoutingOptions;
use steadfast_retry::RetryOn429Layer;
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt};

use super::{
    is_served, numbers_received, pool_without_slots, queued_waiter, spawn_request, with_number,
};
use crate::support::{
    MS, Net, Reply, SECOND, get, ok, pool, refusal, request_only_to, send_for_status, status_of,
    with_deadline, with_headers,
};

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_of_arrival() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]), &net).await;
    let before = net.count("a");
    let start = Instant::now();
    let mut requests = Vec::new();
    for n in 0..20 {
        requests.push(spawn_request(&service, with_number(get(), n)));
        sleep(7 * MS).await;
    }
    assert!(handle.waiting() >= 17, "{}", handle.waiting());
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(numbers_received(&net, "a", before), Vec::from_iter(0..20));
    let took = start.elapsed();
    assert!((1_800 * MS..2_200 * MS).contains(&took), "{took:?}");
    assert_eq!(handle.waiting(), 0);
}

/// A slot belongs to the first waiter, even before that waiter is polled.
#[tokio::test(start_paused = true)]
async fn new_request_does_not_overtake_due_waiter() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]), &net).await;
    let mut first = queued_waiter(&service, get());
    advance(150 * MS).await;
    assert!(first.is_woken());
    assert!(status_of(&handle, "a").admissible);

    let mut newcomer = queued_waiter(&service, get());
    assert!(is_served(&mut first));
    assert!(newcomer.is_woken(), "now the first waiter");
    assert!(newcomer.poll().is_pending());
    advance(100 * MS).await;
    assert!(newcomer.is_woken() && is_served(&mut newcomer));
}

/// The request waited for an answer while the others waited for a slot.
#[tokio::test(start_paused = true)]
async fn retried_request_keeps_the_position_of_its_first_attempt() {
    let net = Net::new();
    net.on("b", |_| Reply::from(refusal("60")).after(450 * MS));
    let (service, _) = pool_without_slots(pool(&["a", "b"]), &net).await;
    let before = net.count("a");
    let retrying = RetryOn429Layer::new().layer(service.clone());

    let mut others = vec![spawn_request(
        &service,
        with_number(request_only_to("a"), 0),
    )];
    sleep(MS).await;
    let request = with_deadline(with_number(get(), 1), 20 * SECOND);
    let came_second = tokio::spawn(retrying.oneshot(request));
    sleep(MS).await;
    others.extend((2..12).map(|n| spawn_request(&service, with_number(request_only_to("a"), n))));

    let answer = came_second.await.unwrap().expect("an answer");
    assert_eq!((answer.status().as_u16(), net.count("b")), (200, 1));
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    let order = numbers_received(&net, "a", before);
    let place = order.iter().position(|n| *n == 1).expect("served");
    // Some waiters were served before the refusal arrived.
    assert!((3..=5).contains(&place), "{order:?}");
    let mut rest = order.clone();
    rest.remove(place);
    assert!(rest.is_sorted(), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn dropped_waiter_passes_its_slot_on_at_once() {
    let net = Net::new();
    let (service, handle) = pool_without_slots(pool(&["a"]), &net).await;
    let [first, mut second, third] = [(); 3].map(|()| queued_waiter(&service, get()));
    assert_eq!(handle.waiting(), 3);

    // A waiter in the middle notifies no other waiter.
    let fourth = queued_waiter(&service, get());
    drop(third);
    assert!(!second.is_woken() && !fourth.is_woken());
    drop(fourth);

    // The first waiter has the timer.
    drop(first);
    assert!(second.is_woken() && second.poll().is_pending());
    advance(120 * MS).await;
    assert!(second.is_woken());

    // The woken waiter is dropped before its poll.
    let mut last = queued_waiter(&service, get());
    drop(second);
    assert!(last.is_woken() && is_served(&mut last));
    assert_eq!(handle.waiting(), 0);
}

/// A waiter without an available endpoint does not block the others.
#[tokio::test(start_paused = true)]
async fn waiter_for_cooling_endpoint_is_skipped_and_keeps_its_position() {
    let net = Net::new();
    net.on("b", |_| Reply::from(ok()));
    let builder = pool(&["a", "b"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = pool_without_slots(builder, &net).await;
    let before = net.count("a");
    handle.cool("b", 2 * SECOND).unwrap();
    let wants_b = spawn_request(&service, with_number(request_only_to("b"), 0));
    sleep(MS).await;
    let others: Vec<_> = (1..15)
        .map(|n| spawn_request(&service, with_number(request_only_to("a"), n)))
        .collect();
    sleep(MS).await;
    // These allow both endpoints, and arrived later.
    let anywhere: Vec<_> = (20..35)
        .map(|n| spawn_request(&service, with_number(get(), n)))
        .collect();
    sleep(1_990 * MS).await;
    assert_eq!(net.count("b"), 0);
    let served = numbers_received(&net, "a", before);
    assert!(served.len() >= 14, "{served:?}: the others were blocked");
    assert!(served.is_sorted(), "{served:?}");

    sleep(10 * MS).await;
    assert_eq!(
        numbers_received(&net, "b", 0)[0],
        0,
        "the first waiter for b is served first"
    );
    for request in others.into_iter().chain(anywhere).chain([wants_b]) {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
}

/// A large request waits for a slot at `a`. It has no claim to `b`, which has too few tokens for it
/// and enough for others.
#[tokio::test(start_paused = true)]
async fn large_request_does_not_block_smaller_ones() {
    let net = Net::new();
    let headers = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "100"),
        ("x-ratelimit-reset-tokens", "60s"),
    ];
    net.on("b", move |_| with_headers(ok(), &headers));
    let (service, handle) = pool_without_slots(pool(&["a", "b"]), &net).await;
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 200);

    let mut large = get();
    let options = RoutingOptions::new().estimated_tokens(500);
    large.extensions_mut().insert(options);
    let mut large = queued_waiter(&service, large);
    assert_eq!(handle.waiting(), 1);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.count("b"), 2);

    advance(120 * MS).await;
    assert!(large.is_woken() && is_served(&mut large));
    assert_eq!(net.count("b"), 2);
}
