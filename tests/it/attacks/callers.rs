//! Callers beside an attack.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Version};
use stack_tests::SECOND;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::gateway::{CHAT, REQUEST, body_of, new_client, text};

/// The time that another caller waits for its answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller that sends one request after another during an attack.
#[derive(Debug)]
pub(super) struct OtherCaller {
    stop: watch::Sender<bool>,
    calling: JoinHandle<Vec<Duration>>,
}

impl OtherCaller {
    /// Starts to send requests. Each of them must get an answer with status 200.
    pub(super) fn start(addr: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let calling = tokio::spawn(async move {
            let client = new_client(Version::HTTP_11);
            let mut latencies = Vec::new();
            while !*stopped.borrow() || latencies.is_empty() {
                let request = Request::post(format!("http://{addr}{CHAT}")).body(body_of(REQUEST));
                let start = Instant::now();
                let answer = timeout(PATIENCE, client.request(request.unwrap())).await;
                let answer = answer.expect("an answer in time").expect("an answer");
                assert_eq!(answer.status(), 200);
                text(answer).await;
                latencies.push(start.elapsed());
                sleep(SECOND / 200).await;
            }
            latencies
        });
        Self { stop, calling }
    }

    /// Ends the requests, and prints their number and their median latency.
    pub(super) async fn finish(self, attack: &str) {
        self.stop.send(true).expect("a running caller");
        let mut latencies = self.calling.await.expect("each request has succeeded");
        latencies.sort_unstable();
        let (count, median) = (latencies.len(), latencies[latencies.len() / 2]);
        println!("{attack}: {count} requests of another caller, median {median:?}");
    }
}
