//! Concurrent refusals are one event.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::Event;
use tokio::time::sleep;
use tower::ServiceExt;

use super::cooling;
use crate::support::{
    Events, MS, Net, Reply, SECOND, answer, balancer, pool, post, refusal, status_of,
};

/// Only the first refusal of a burst sets the length. Counted per refusal, the cooldown would last
/// for minutes because of many concurrent attempts.
#[tokio::test(start_paused = true)]
async fn burst_of_refusals_starts_one_cooldown_with_the_first_hint() {
    let net = Net::new();
    net.on("a", |n| {
        Reply::from(refusal(&(n + 1).to_string())).after(10 * MS)
    });
    let events = Events::default();
    let (service, handle) = balancer(pool(&["a"]).observer(events.observer()), &net);
    let burst: Vec<_> = (0..500)
        .map(|_| tokio::spawn(service.clone().oneshot(post())))
        .collect();
    for request in burst {
        assert_eq!(request.await.unwrap().unwrap().status(), 429);
    }
    assert_eq!(events.take(), ["a cools 1s rate_limited"]);
    assert_eq!(cooling(&handle, "a"), Some(SECOND));
    assert_eq!(status_of(&handle, "a").health, 1.0, "a limit is no failure");
}

fn count_cooldowns(events: &Events) -> usize {
    events.count(|event| matches!(event, Event::Cooldown { .. }))
}

/// Each refusal of a burst doubled the cooldown or moved its end, although all of them report one
/// event.
#[tokio::test(start_paused = true)]
async fn mixed_hints_of_one_burst_start_one_cooldown() {
    let net = Net::new();
    let hints = Arc::new(Mutex::new(
        [Some("2"), None, Some("30"), Some("0")].into_iter().cycle(),
    ));
    net.on("a", move |n| {
        let hint = hints.lock().unwrap().next().flatten();
        let reply = hint.map_or_else(|| answer(429), refusal);
        Reply::from(reply).after((10 + n as u32 % 100 * 10) * MS)
    });
    let events = Events::default();
    let builder = pool(&["a"]).observer(events.observer());
    let (service, handle) = balancer(builder.max_wait(Duration::ZERO), &net);
    let burst: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(post())))
        .collect();
    sleep(11 * MS).await;
    assert_eq!(cooling(&handle, "a"), Some(1_999 * MS));
    sleep(SECOND).await;
    for request in burst {
        assert_eq!(request.await.unwrap().unwrap().status(), 429);
    }
    assert_eq!(
        (cooling(&handle, "a"), count_cooldowns(&events)),
        (Some(999 * MS), 1)
    );

    // After the cooldown, one attempt is sent, and not a hundred.
    sleep(SECOND).await;
    let before = net.count("a");
    net.on("a", |_| refusal("3"));
    for _ in 0..100 {
        tokio::spawn(service.clone().oneshot(post()));
    }
    sleep(MS).await;
    assert_eq!(net.count("a") - before, 1);
    assert_eq!(count_cooldowns(&events), 2);
}
