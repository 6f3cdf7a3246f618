//! A queue that stays full.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::Exhausted;
use tokio::time::{Instant, sleep, timeout};

use super::{Balancer, learn_rate, limited_server, server_with_limit, spawn_request};
use crate::support::{
    MS, Net, Reply, SECOND, balancer, endpoint, get, ok, pool, refusal, send, send_for_status,
    with_deadline,
};

/// Sends `per_second` requests for the duration `lasts`. Returns the waits of the requests that
/// arrived in the last five seconds and were served.
async fn waits_under_load(service: &Balancer, per_second: u32, lasts: Duration) -> Vec<Duration> {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    while start.elapsed() < lasts {
        let (service, waits) = (service.clone(), waits.clone());
        tokio::spawn(async move {
            let came = Instant::now();
            if send_for_status(&service, get()).await == 200 {
                waits.lock().unwrap().push((came, came.elapsed()));
            }
        });
        sleep(SECOND / per_second).await;
    }
    sleep(10 * SECOND).await;
    let last = start + lasts - 5 * SECOND;
    let waits = waits.lock().unwrap();
    let late = waits.iter().filter(|(came, _)| *came >= last);
    late.map(|(_, wait)| *wait).collect()
}

/// Patient callers were rejected although the limit was lifted before their deadlines.
#[tokio::test(start_paused = true)]
async fn overload_without_load_shedding_rejects_no_request() {
    for has_deadline in [false, true] {
        let net = Net::new();
        net.on("a", server_with_limit(20.0));
        let builder = pool(&["a"]).max_wait(20 * SECOND);
        let (service, handle) = balancer(builder.overload_wait(20 * SECOND), &net);
        learn_rate(&service, &handle, "a").await;
        let mut requests = Vec::new();
        for _ in 0..1_280 {
            let request = match has_deadline {
                true => with_deadline(get(), 20 * SECOND),
                false => get(),
            };
            requests.push(spawn_request(&service, request));
            sleep(SECOND / 40).await;
        }
        // They have waited for more than half of the bound.
        assert!(handle.waiting() > 400, "{} wait", handle.waiting());
        net.on("a", |_| ok());
        let mut served = 0;
        for request in requests {
            let answer = request.await.unwrap();
            // The endpoint may refuse a request, but the balancer rejects none.
            served += usize::from(answer.expect("an answer").status() == 200);
        }
        assert!(served >= 1_220, "{served} with a deadline: {has_deadline}");
    }
}

/// The expected wait decides about a degraded endpoint, with and without load shedding.
#[tokio::test(start_paused = true)]
async fn waiters_beyond_the_preferred_wait_move_to_a_degraded_endpoint_at_once() {
    for overload_wait in [SECOND, 30 * SECOND] {
        let net = Net::new();
        net.on("a", server_with_limit(20.0));
        net.on("c", |_| ok());
        let builder = pool(&["a"]).endpoint(endpoint("c").degraded(true));
        let (service, handle) = balancer(builder.overload_wait(overload_wait), &net);
        learn_rate(&service, &handle, "a").await;
        for _ in 0..200 {
            spawn_request(&service, get());
        }
        sleep(100 * MS).await;
        let moved = net.count("c");
        assert!(moved >= 100, "{moved} of 200, {overload_wait:?}");
    }
}

/// Sends 60 requests at once. Returns the longest wait. All are served.
async fn longest_wait_of_burst(service: &Balancer) -> Duration {
    let start = Instant::now();
    let burst: Vec<_> = (0..60).map(|_| spawn_request(service, get())).collect();
    for request in burst {
        assert!(request.await.unwrap().is_ok(), "a burst is no overload");
    }
    start.elapsed()
}

fn longest_wait(waits: &[Duration]) -> Duration {
    waits.iter().max().copied().unwrap_or_default()
}

/// A standing queue serves no additional request, and delays all of them.
#[tokio::test(start_paused = true)]
async fn standing_overload_shortens_the_wait_and_a_burst_does_not() {
    let net = Net::new();
    net.on("a", server_with_limit(20.0));
    let (service, handle) = balancer(pool(&["a"]).max_wait(4 * SECOND), &net);
    learn_rate(&service, &handle, "a").await;

    let burst = longest_wait_of_burst(&service).await;
    assert!(
        burst >= 1_500 * MS,
        "{burst:?}: the queue is too short for a burst"
    );
    assert_eq!(handle.waiting(), 0);

    let standing = waits_under_load(&service, 40, 60 * SECOND).await;
    let most = longest_wait(&standing);
    assert!(most <= 700 * MS, "{most:?} after a minute of overload");
    assert!(standing.len() >= 90, "{} were served", standing.len());
    assert_eq!(handle.waiting(), 0);

    // The overload is forgotten.
    let burst = longest_wait_of_burst(&service).await;
    assert!(burst >= 1_500 * MS, "{burst:?}");
}

/// The callers of a load, by the end of their requests.
#[derive(Debug, Default)]
struct Ends {
    /// The waits of the served requests.
    served: Vec<Duration>,
    /// The waits until a rejection.
    rejected: Vec<Duration>,
    /// The number of rejections without a hint.
    unhinted: usize,
    cancelled: usize,
}

/// Sends requests of callers that cancel after `patience`.
async fn load_with_patience(
    service: &Balancer,
    per_second: u32,
    lasts: Duration,
    patience: impl Fn(u32) -> Duration,
) -> Ends {
    let ends = Arc::new(Mutex::new(Ends::default()));
    let start = Instant::now();
    for n in 0.. {
        if start.elapsed() >= lasts {
            break;
        }
        let (service, ends, patience) = (service.clone(), ends.clone(), patience(n));
        tokio::spawn(async move {
            let came = Instant::now();
            let answer = timeout(patience, send(&service, get())).await;
            let mut ends = ends.lock().unwrap();
            match answer {
                Ok(Ok(response)) if response.status() == 200 => ends.served.push(came.elapsed()),
                Ok(answer) => {
                    ends.rejected.push(came.elapsed());
                    let exhausted = answer.as_ref().err().map(|error| Exhausted::find(&**error));
                    let hint = exhausted.flatten().and_then(Exhausted::retry_in);
                    ends.unhinted += usize::from(answer.is_err() && hint.is_none());
                }
                Err(_) => ends.cancelled += 1,
            }
        });
        sleep(SECOND / per_second).await;
    }
    sleep(30 * SECOND).await;
    Arc::try_unwrap(ends).unwrap().into_inner().unwrap()
}

/// The head of the queue had always waited nearly as long as its caller does. Each slot went to a
/// request that was cancelled right after, so the whole quota served no caller.
#[tokio::test(start_paused = true)]
async fn impatient_callers_use_the_whole_quota() {
    let mixed = |n: u32| SECOND * [2, 5, 10][n as usize % 3];
    let patiences: [&dyn Fn(u32) -> Duration; 4] =
        [&|_| 60 * SECOND, &|_| 2 * SECOND, &|_| 5 * SECOND, &mixed];
    for per_second in [24, 100] {
        for (n, patience) in patiences.iter().enumerate() {
            let net = Net::new();
            net.on("a", server_with_limit(20.0));
            let (service, handle) = balancer(pool(&["a"]), &net);
            learn_rate(&service, &handle, "a").await;
            let ends = load_with_patience(&service, per_second, 30 * SECOND, patience).await;
            let served = ends.served.len();
            // In half a minute the quota admits 600 requests.
            assert!(served >= 570, "{served} at {per_second}/s, callers {n}");
            assert!(ends.cancelled <= 20, "{} cancelled", ends.cancelled);
            let (unhinted, rejected) = (ends.unhinted, ends.rejected.len());
            assert_eq!(unhinted, 0, "of {rejected} rejections");
            assert_eq!(handle.waiting(), 0);
        }
    }
}

/// A caller that cancels at once has its own reason. Its requests would otherwise shorten the waits
/// of all other callers.
#[tokio::test(start_paused = true)]
async fn hasty_caller_shortens_no_wait() {
    let net = Net::new();
    net.on("a", server_with_limit(20.0));
    let (service, handle) = balancer(pool(&["a"]), &net);
    learn_rate(&service, &handle, "a").await;
    let hasty = service.clone();
    tokio::spawn(async move {
        load_with_patience(&hasty, 50, 10 * SECOND, |_| 300 * MS).await;
    });
    sleep(SECOND).await;
    let crowd: Vec<_> = (0..60).map(|_| spawn_request(&service, get())).collect();
    for request in crowd {
        // The endpoint may refuse it, but the balancer does not reject it.
        assert!(request.await.unwrap().is_ok());
    }
}

/// Each caller waited in vain until its own limit, because a probe was always due within a second.
#[tokio::test(start_paused = true)]
async fn endpoint_that_always_refuses_rejects_waiters_within_two_seconds() {
    let net = Net::new();
    net.on("a", |_| Reply::from(refusal("1")));
    net.on("b", |_| Reply::from(refusal("1")));
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    let ends = load_with_patience(&service, 10, 60 * SECOND, |_| 10 * SECOND).await;
    assert_eq!((ends.cancelled, ends.served.len()), (0, 0));
    let most = ends.rejected.iter().max().copied().unwrap_or_default();
    assert!(most <= 2 * SECOND, "{most:?}");
    assert_eq!(handle.waiting(), 0);
    for name in ["a", "b"] {
        let sent = net.sent(name).len();
        assert!(sent <= 72, "{sent} in a minute");
    }
}

/// Callers with less patience than two answers left during their attempts, which no queue noticed.
/// A twentieth of the quota served a caller.
#[tokio::test(start_paused = true)]
async fn callers_with_less_patience_than_two_answers_use_the_quota() {
    for (latency, patience, per_second) in [(10, 12, 6), (10, 15, 20), (4, 5, 10), (4, 6, 6)] {
        let net = Net::new();
        net.on("a", limited_server(5.0, latency * SECOND));
        let (service, handle) = balancer(pool(&["a"]), &net);
        let patience = patience * SECOND;
        let ends = load_with_patience(&service, per_second, 200 * SECOND, |_| patience).await;
        let (served, sent) = (ends.served.len(), net.count("a"));
        let case = (latency, patience, per_second);
        println!(
            "{case:?}: {served} of {sent} sent, {} cancelled",
            ends.cancelled
        );
        // The quota of 200 s. The first callers leave before the queue knows their patience.
        assert!(sent >= 990 && served >= 850, "{case:?}: {served} of {sent}");
        assert_eq!(handle.waiting(), 0);
    }
}
