//! The end of a cooldown: a probe, then more requests.

use steadfast_balance::Strategy;
use steadfast_core::Event;
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use super::cooling;
use crate::support::body::Ending;
use crate::support::{
    Events, MS, Net, Polls, Reply, SECOND, Stream, answer, balancer, connection_reset, get, ok,
    pool, post, refusal, send, send_for_status, status_of, streamed,
};

/// Sends a hundred requests at once and returns the number that the endpoint admits.
async fn admitted_at_once(
    service: &steadfast_balance::EndpointBalance<crate::support::Client>,
    net: &Net,
) -> usize {
    let before = net.count("a");
    let tasks: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    sleep(MS).await;
    let sent = net.count("a") - before;
    for task in tasks {
        let _ = task.await.unwrap();
    }
    sent
}

/// A server with a limit of twenty requests per second and hints in whole seconds.
fn server_with_limit_of_twenty() -> impl Fn(usize) -> Reply + Send + 'static {
    let bucket = std::sync::Mutex::new((20.0, tokio::time::Instant::now()));
    move |_| {
        let mut bucket = bucket.lock().unwrap();
        let now = tokio::time::Instant::now();
        let gained = 20.0 * now.duration_since(bucket.1).as_secs_f64();
        *bucket = (f64::min(bucket.0 + gained, 20.0), now);
        if bucket.0 < 1.0 {
            return Reply::from(refusal("1")).after(5 * MS);
        }
        bucket.0 -= 1.0;
        Reply::from(ok()).after(50 * MS)
    }
}

#[tokio::test(start_paused = true)]
async fn limited_endpoint_gets_all_requests_that_its_limit_allows() {
    let net = Net::new();
    net.on("a", server_with_limit_of_twenty());
    let events = Events::default();
    let (service, handle) = balancer(pool(&["a"]).observer(events.observer()), &net);
    let count = |of: fn(&Event) -> bool| events.count(of);
    assert_eq!(
        admitted_at_once(&service, &net).await,
        100,
        "the limit is unknown"
    );
    assert_eq!(status_of(&handle, "a").rate, None);
    advance(SECOND).await;
    assert_eq!(admitted_at_once(&service, &net).await, 1, "one probe");

    let before = net.count("a");
    for _ in 0..6_000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
    }
    let sent = net.count("a") - before;
    assert!(
        (1_080..=1_260).contains(&sent),
        "{sent} of 1200 in a minute"
    );
    let rate = status_of(&handle, "a").rate.expect("limited");
    assert!((17.0..=23.0).contains(&rate), "{rate}");
    let cooldowns = count(|event| matches!(event, Event::Cooldown { .. }));
    assert!(cooldowns <= 12, "{cooldowns} cooldowns");
    let ended = count(|event| matches!(event, Event::CooldownEnded { .. }));
    assert!(cooldowns - ended <= 1, "{ended} of {cooldowns} have ended");

    net.on("a", |_| Reply::from(ok()).after(10 * MS));
    advance(160 * SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(
        admitted_at_once(&service, &net).await,
        100,
        "the limit is forgotten"
    );
    assert_eq!(status_of(&handle, "a").rate, None);
}

/// Answers of a model are slow. After a single refusal, the endpoint got one request in five
/// seconds.
#[tokio::test(start_paused = true)]
async fn single_refusal_does_not_starve_a_slow_endpoint() {
    let net = Net::new();
    net.on("a", |n| match n {
        1 => refusal("1").into(),
        _ => Reply::from(ok()).after(20 * SECOND),
    });
    let (service, _) = balancer(pool(&["a"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(send_for_status(&service, get()).await, 429);
    advance(SECOND).await;
    let mut sent = 0;
    for _ in 0..100 {
        sent = net.count("a");
        tokio::spawn(service.clone().oneshot(get()));
        sleep(50 * MS).await;
    }
    assert!(sent >= 80, "{sent} of 100");
}

/// A slow gateway refuses after six seconds, so its probe has twelve.
#[tokio::test(start_paused = true)]
async fn slow_refusals_allow_one_probe_per_cooldown() {
    let net = Net::new();
    net.on("a", |_| Reply::from(refusal("1")).after(6 * SECOND));
    let (service, _) = balancer(pool(&["a"]), &net);
    for _ in 0..10_000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
    }
    // 600 attempts before the first refusal, then one per seven seconds.
    assert!(net.count("a") <= 620, "{}", net.count("a"));
}

#[tokio::test(start_paused = true)]
async fn refusal_after_recovery_starts_another_cooldown() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 | 2 => refusal("1"),
        _ => ok(),
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    for expected in [429, 200, 429] {
        assert_eq!(send_for_status(&service, get()).await, expected);
        advance(cooling(&handle, "a").unwrap_or_default()).await;
    }
    net.on("a", |_| Reply::from(ok()).after(10 * MS));
    assert_eq!(admitted_at_once(&service, &net).await, 1);
}

/// A failure of the endpoint frees the slot of the probe, as a `403` does, and the limit of one
/// probe stays. A cancelled attempt frees it once its refusal would have arrived.
#[tokio::test(start_paused = true)]
async fn error_or_cancellation_of_a_probe_keeps_the_limit_of_one() {
    let net = Net::new();
    net.on("a", |_| refusal("1"));
    let (service, handle) = balancer(pool(&["a"]), &net);
    send_for_status(&service, get()).await;
    advance(SECOND).await;

    net.on("a", |_| connection_reset());
    assert_eq!(send_for_status(&service, get()).await, 0);
    net.on("a", |_| answer(403));
    assert_eq!(send_for_status(&service, get()).await, 403);
    net.on("a", |_| Reply::never());
    let cancelled = tokio::time::timeout(MS, send(&service, get())).await;
    assert!(cancelled.is_err());

    net.on("a", |_| Reply::from(ok()).after(10 * MS));
    assert!(
        !status_of(&handle, "a").admissible,
        "a refusal may still arrive"
    );
    advance(50 * MS).await;
    assert_eq!(admitted_at_once(&service, &net).await, 1);
}

/// A completion may take minutes, and a hanging attempt never ends. The endpoint stood idle for
/// that time after each cooldown. Refusals arrive fast: an attempt without a refusal after twice
/// the time of the last one was accepted.
#[tokio::test(start_paused = true)]
async fn slow_probe_admits_others_after_twice_the_refusal_time() {
    let net = Net::new();
    net.on("a", |_| Reply::from(refusal("1")).after(100 * MS));
    let (service, handle) = balancer(pool(&["a"]), &net);
    send_for_status(&service, get()).await;
    advance(SECOND).await;

    net.on("a", |_| Reply::never());
    let mut hung = vec![tokio::spawn(service.clone().oneshot(get()))];
    sleep(MS).await;
    assert!(!status_of(&handle, "a").admissible);
    sleep(198 * MS).await;
    assert!(!status_of(&handle, "a").admissible);
    sleep(MS).await;
    for _ in 0..3 {
        assert!(status_of(&handle, "a").admissible);
        hung.push(tokio::spawn(service.clone().oneshot(get())));
        sleep(MS).await;
    }
    assert_eq!(net.count("a"), 5);
    hung.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn permanent_refusals_allow_one_probe_per_cooldown() {
    let net = Net::new();
    net.on("a", |_| Reply::from(refusal("1")).after(30 * MS));
    let (service, _) = balancer(pool(&["a"]), &net);
    for _ in 0..10_000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
    }
    // One attempt per second for 100 s, and three before the first refusal.
    assert!(net.count("a") <= 103, "{}", net.count("a"));
}

#[tokio::test(start_paused = true)]
async fn stream_in_flight_does_not_block_recovery() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => refusal("1"),
        _ => streamed(Stream::of(["data"]).end(Ending::Never)),
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    send_for_status(&service, get()).await;
    advance(SECOND).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(send(&service, get()).await.unwrap());
        advance(SECOND / 4).await;
    }
    assert_eq!(status_of(&handle, "a").in_flight, 10);
}

/// The server refuses every request with a hint of one second. Each request of the load reached it,
/// and a provider may ban such a client.
#[tokio::test(start_paused = true)]
async fn refusing_server_gets_about_one_attempt_per_second_at_any_load() {
    for per_second in [10, 1_000] {
        for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
            let net = Net::new();
            net.on("a", |_| refusal("1"));
            let (service, handle) = balancer(pool(&["a"]).strategy(strategy), &net);
            let polls = Polls::default();
            let start = Instant::now();
            let mut running = Vec::new();
            while start.elapsed() < 20 * SECOND {
                let future = service.clone().oneshot(post());
                running.push(tokio::spawn(polls.count(future)));
                sleep(SECOND / per_second).await;
            }
            let sent = net.count("a");
            assert!(sent <= 24, "{strategy:?} {per_second}: {sent} in 20 s");
            assert!(sent >= 10, "{strategy:?} {per_second}: {sent} in 20 s");
            running.iter().for_each(tokio::task::JoinHandle::abort);
            sleep(MS).await;
            assert_eq!(handle.waiting(), 0);
        }
    }
}

/// A refusal takes 50 ms, so more attempts are in flight.
#[tokio::test(start_paused = true)]
async fn late_refusals_do_not_accumulate() {
    let net = Net::new();
    net.on("a", |_| Reply::from(refusal("1")).after(50 * MS));
    let (service, _) = balancer(pool(&["a"]), &net);
    for _ in 0..20_000 {
        tokio::spawn(service.clone().oneshot(post()));
        sleep(MS).await;
    }
    // 50 attempts before the first refusal, then one per 1,050 ms.
    let sent = net.count("a");
    assert!(sent <= 50 + 24, "{sent} in 20 s");
}

/// A service whose answers are `404` or `412` got one request at a time after its limit.
#[tokio::test(start_paused = true)]
async fn faults_of_callers_end_the_probing_after_a_limit() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => refusal("1").into(),
        _ => Reply::from(answer(404)).after(10 * MS),
    });
    let (service, _) = balancer(pool(&["a"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    advance(SECOND).await;
    for _ in 0..200 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(5 * MS).await;
    }
    assert_eq!(admitted_at_once(&service, &net).await, 100);
}
