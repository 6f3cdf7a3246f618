//! A queue that stays full.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Balancer, learn_rate, server_with_limit};
use crate::support::{MS, Net, SECOND, balancer, get, pool, send_for_status};

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

    let burst = longest_wait(&waits_under_load(&service, 40, 15 * SECOND).await);
    assert!(
        burst >= 3 * SECOND,
        "{burst:?}: the queue is too short for a burst"
    );
    assert_eq!(handle.waiting(), 0);

    let standing = waits_under_load(&service, 40, 60 * SECOND).await;
    let most = longest_wait(&standing);
    assert!(most <= 1_500 * MS, "{most:?} after a minute of overload");
    assert!(standing.len() >= 70, "{} were served", standing.len());
    assert_eq!(handle.waiting(), 0);

    // The overload is forgotten.
    let burst = longest_wait(&waits_under_load(&service, 40, 15 * SECOND).await);
    assert!(burst >= 3 * SECOND, "{burst:?}");
}
