//! Callers beside an attack.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Version};
use stack_tests::SECOND;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::memory::Client;
use super::scaled;
use crate::gateway::{CHAT, REQUEST, body_of, new_client, text};

/// The time that another caller waits for its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The requests before an attack.
const BEFORE: usize = 20;

/// A caller that sends one request after another during an attack.
#[derive(Debug)]
pub(super) struct OtherCaller {
    stop: watch::Sender<bool>,
    calling: JoinHandle<Vec<Duration>>,
    before: Duration,
}

impl OtherCaller {
    /// Sends some requests, and starts to send further ones. Each of them must get an answer with
    /// status 200.
    pub(super) async fn start(addr: SocketAddr) -> Self {
        let client = new_client(Version::HTTP_11);
        let mut latencies = Vec::new();
        for _ in 0..BEFORE {
            latencies.push(call(&client, addr).await);
        }
        let (stop, stopped) = watch::channel(false);
        let calling = tokio::spawn(async move {
            let mut latencies = Vec::new();
            while !*stopped.borrow() || latencies.is_empty() {
                latencies.push(call(&client, addr).await);
                sleep(SECOND / 200).await;
            }
            latencies
        });
        Self {
            stop,
            calling,
            before: median(&mut latencies),
        }
    }

    /// Ends the requests, prints their number and their median latency, and compares it with the
    /// one before the attack.
    pub(super) async fn finish(self, attack: &str) {
        self.stop.send(true).expect("a running caller");
        let mut latencies = self.calling.await.expect("each request has succeeded");
        let (count, before) = (latencies.len(), self.before);
        let median = median(&mut latencies);
        println!(
            "{attack}: {count} requests of another caller, median {median:?}, {before:?} before"
        );
        // In CI, other tests run at the same time.
        let margin = Duration::from_millis(scaled(250, 25) as u64);
        assert!(
            median <= 10 * before + margin,
            "{attack}: the median is {median:?}, and was {before:?} before"
        );
    }
}

/// Sends a request, and returns the time until the end of its answer.
async fn call(client: &Client, addr: SocketAddr) -> Duration {
    let request = Request::post(format!("http://{addr}{CHAT}")).body(body_of(REQUEST));
    let start = Instant::now();
    let answer = client.request(request.expect("a request"));
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.expect("an answer in time").expect("an answer");
    assert_eq!(answer.status(), 200);
    text(answer).await;
    start.elapsed()
}

fn median(latencies: &mut [Duration]) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}
