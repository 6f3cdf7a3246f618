//! Waiters of one key neither block nor overtake the waiters of another key.

use std::time::Duration;

use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, WhenExhausted};
use steadfast_core::LimitKey;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};
use tower::{Service, ServiceExt};

use super::{get_model, model};
use crate::support::{
    Answer, Client, MS, Net, Reply, SECOND, balancer, ok, pool, send_for_status, with_deadline,
};

fn patient(builder: EndpointBalanceBuilder) -> EndpointBalanceBuilder {
    let builder = builder.when_exhausted(WhenExhausted::Wait);
    builder.max_wait(600 * SECOND)
}

async fn spawn_waiter(service: &EndpointBalance<Client>, model: &str) -> JoinHandle<Answer> {
    let waiter = tokio::spawn(service.clone().oneshot(get_model(model)));
    sleep(MS).await;
    waiter
}

/// Requests for an unlimited model waited behind the waiters of a limited one, at the same
/// endpoint.
#[tokio::test(start_paused = true)]
async fn waiters_of_limited_key_do_not_block_other_keys() {
    for names in [&["a"][..], &["a", "b"]] {
        let net = Net::new();
        for name in names {
            net.on(name, |_| Reply::from(ok()).after(20 * MS));
        }
        let (service, handle) = balancer(patient(pool(names)), &net);
        let limited = LimitKey::new("limited");
        for name in names {
            handle.cool_key(name, &limited, 60 * SECOND).unwrap();
        }
        let mut waiters = Vec::new();
        for _ in 0..50 {
            waiters.push(spawn_waiter(&service, "limited").await);
        }
        assert_eq!(handle.waiting(), 50);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(send_for_status(&service, get_model("other")).await, 200);
        }
        assert_eq!(start.elapsed(), 200 * MS, "no request waited");

        for name in names {
            handle.cool_key(name, &limited, Duration::ZERO).unwrap();
        }
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().unwrap().status(), 200);
        }
        assert_eq!(handle.waiting(), 0);
        assert!(start.elapsed() < 60 * SECOND, "{:?}", start.elapsed());
    }
}

/// Two limited keys have queues of their own, and each ends with its own cooldown.
#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_queue() {
    let net = Net::new();
    net.on("a", |_| ok());
    let (service, handle) = balancer(patient(pool(&["a"])), &net);
    let start = Instant::now();
    handle
        .cool_key("a", &LimitKey::new("x"), 30 * SECOND)
        .unwrap();
    handle
        .cool_key("a", &LimitKey::new("y"), 5 * SECOND)
        .unwrap();
    let mut waiters = Vec::new();
    for n in 0..20 {
        let model = if n % 2 == 0 { "x" } else { "y" };
        waiters.push((model, spawn_waiter(&service, model).await));
    }
    for (model, end) in [("y", 5), ("x", 30)] {
        let mut own = Vec::new();
        while let Some(at) = waiters.iter().position(|(known, _)| *known == model) {
            own.push(waiters.remove(at).1);
        }
        for waiter in own {
            assert_eq!(waiter.await.unwrap().unwrap().status(), 200);
        }
        let took = start.elapsed();
        let expected = end * SECOND..(end + 1) * SECOND;
        assert!(expected.contains(&took), "{model}: {took:?}");
    }
    assert_eq!(handle.waiting(), 0);
}

/// The limits of all requests have one queue, whatever the key: first in, first out.
#[tokio::test(start_paused = true)]
async fn shared_limit_is_served_in_order_of_arrival() {
    let net = Net::new();
    net.on("a", |_| Reply::from(ok()).after(20 * MS));
    let (service, handle) = balancer(patient(pool(&["a"])), &net);
    handle.cool("a", 5 * SECOND).unwrap();
    let models = ["x", "y", "x", "z", "y", "x"];
    let mut waiters = Vec::new();
    for model in models {
        waiters.push(spawn_waiter(&service, model).await);
    }
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().status(), 200);
    }
    let sent = net.sent("a");
    // The first attempt is the probe, and the others follow its success.
    assert_eq!(sent.iter().map(model).collect::<Vec<_>>(), models);
}

/// A waiter of a key that cools longer does not hold the slot of the shared limit.
#[tokio::test(start_paused = true)]
async fn waiter_of_cooling_key_leaves_shared_slot_to_others() {
    let net = Net::new();
    net.on("a", |_| Reply::from(ok()).after(20 * MS));
    let (service, handle) = balancer(patient(pool(&["a"])), &net);
    handle.cool("a", 5 * SECOND).unwrap();
    handle
        .cool_key("a", &LimitKey::new("x"), 60 * SECOND)
        .unwrap();
    let start = Instant::now();
    let long = spawn_waiter(&service, "x").await;
    let short = spawn_waiter(&service, "y").await;
    assert_eq!(short.await.unwrap().unwrap().status(), 200);
    assert!(start.elapsed() < 6 * SECOND, "{:?}", start.elapsed());
    assert_eq!(long.await.unwrap().unwrap().status(), 200);
    assert!(start.elapsed() < 61 * SECOND, "{:?}", start.elapsed());
}

/// The head of a queue is dropped. Its successor of the same key gets the slot.
#[tokio::test(start_paused = true)]
async fn dropped_waiter_wakes_its_successor_of_the_same_key() {
    let net = Net::new();
    net.on("a", |_| ok());
    let (service, handle) = balancer(patient(pool(&["a"])), &net);
    for key in ["x", "y"] {
        handle
            .cool_key("a", &LimitKey::new(key), 5 * SECOND)
            .unwrap();
    }
    let queued = |model: &str| {
        let mut waiter = tokio_test::task::spawn(service.clone().call(get_model(model)));
        assert!(waiter.poll().is_pending());
        waiter
    };
    let (first, mut second, mut other) = (queued("x"), queued("x"), queued("y"));
    advance(5 * SECOND + 2 * MS).await;
    assert!(other.is_woken() && other.poll().is_ready());
    drop(first);
    assert!(second.is_woken(), "it is the first of its key now");
    assert!(second.poll().is_ready());
    assert_eq!(handle.waiting(), 0);
}

/// A long queue of one key made every key impatient.
#[tokio::test(start_paused = true)]
async fn overload_of_one_key_leaves_patience_of_other_keys() {
    let net = Net::new();
    net.on("a", |_| ok());
    let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balancer(builder.max_wait(10 * SECOND), &net);
    handle
        .cool_key("a", &LimitKey::new("x"), 3_600 * SECOND)
        .unwrap();
    handle
        .cool_key("a", &LimitKey::new("z"), 3_600 * SECOND)
        .unwrap();
    // One waiter keeps the queue in use, and the others find it too long for a minute and more.
    let waiter = with_deadline(get_model("z"), 3_600 * SECOND);
    let waiter = tokio::spawn(service.clone().oneshot(waiter));
    for _ in 0..100 {
        assert_eq!(send_for_status(&service, get_model("x")).await, 0);
        sleep(SECOND).await;
    }
    handle
        .cool_key("a", &LimitKey::new("y"), 8 * SECOND)
        .unwrap();
    assert_eq!(send_for_status(&service, get_model("y")).await, 200);
    waiter.abort();
}

/// A slot of the limits of all requests belongs to the first waiter, whatever the key of a
/// newcomer.
#[tokio::test(start_paused = true)]
async fn newcomer_with_other_key_does_not_take_slot_of_shared_limit() {
    let net = Net::new();
    net.on("a", |_| Reply::from(ok()).after(20 * MS));
    let (service, handle) = balancer(patient(pool(&["a"])), &net);
    handle.cool("a", 5 * SECOND).unwrap();
    let queued = |model: &str| {
        let mut waiter = tokio_test::task::spawn(service.clone().call(get_model(model)));
        assert!(waiter.poll().is_pending());
        waiter
    };
    let mut first = queued("x");
    advance(5 * SECOND + 2 * MS).await;
    assert!(first.is_woken());
    // The slot is free, and its waiter has not run yet.
    let _newcomer = queued("y");
    assert_eq!(net.count("a"), 0);
    assert!(first.poll().is_pending());
    assert_eq!(net.sent("a").iter().map(model).collect::<Vec<_>>(), ["x"]);
}
