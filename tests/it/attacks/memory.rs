//! The memory of request bodies, in all connections together.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use stack_tests::SECOND;
use stack_tests::raw::RawServer;
use steadfast_testkit::Upstream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::scaled;
use crate::gateway::{CHAT, endpoint_table, new_client};

const MIB: usize = 1 << 20;

/// An attack: full in `just attacks`, and smaller in CI.
struct Attack {
    version: Version,
    callers: usize,
    body: usize,
    bound: usize,
    patience: Duration,
}

impl Attack {
    fn new(version: Version) -> Self {
        Self {
            version,
            callers: scaled(40, 200),
            body: scaled(4, 31) * MIB,
            bound: scaled(32, 256) * MIB,
            patience: Duration::from_secs(scaled(2, 15) as u64),
        }
    }

    /// Sends the bodies of this number of callers at the same time. Each rejection must be a `503`
    /// with `Retry-After`.
    async fn run(&self, callers: usize, gateway: &GatewayProcess) {
        let data = Bytes::from(vec![b' '; self.body]);
        let shared = new_client(self.version);
        let mut sending = JoinSet::new();
        for _ in 0..callers {
            let client = match self.version {
                Version::HTTP_2 => shared.clone(),
                _ => new_client(self.version),
            };
            let url = format!("http://{}{CHAT}", gateway.addr);
            sending.spawn(timeout(self.patience, send(url, data.clone(), client)));
        }
        let mut rejected = 0;
        while let Some(ended) = sending.join_next().await {
            if let Ok(Ok(Some(answer))) = ended {
                assert_eq!(answer, (503, true), "{:?}", self.version);
                rejected += 1;
            }
        }
        println!(
            "{:?}: {callers} bodies of {} bytes, {rejected} rejected",
            self.version, self.body
        );
    }
}

/// Sends a large body, and returns the status and `retry-after` of the answer.
async fn send(url: String, body: Bytes, client: Client) -> Option<(u16, bool)> {
    let request = Request::post(url)
        .body(Full::new(body).boxed_unsync())
        .ok()?;
    let answer = client.request(request).await.ok()?;
    let hint = answer.headers().contains_key("retry-after");
    Some((answer.status().as_u16(), hint))
}

type Client = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    crate::gateway::AnyBody,
>;

/// The freed parts of a heap, in KiB. They stay with a process after its first attack, and serve later
/// requests: glibc returns only the end of a heap.
const FRAGMENTS: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_callers_use_bounded_memory() {
    // The endpoint reads each request, and never answers.
    let silent = RawServer::start(|_, stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let good = Upstream::start().await.unwrap();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let attack = Attack::new(version);
        let config = format!(
            "[limits]\nbody_memory = {}\nmax_body = {}\n{}",
            attack.bound,
            attack.body + MIB,
            endpoint_table("silent", &silent.url())
        );
        let gateway = GatewayProcess::start(&config, &[]).await;
        let beside = GatewayProcess::over([&*good.url()]).await;
        let others = OtherCaller::start(beside.addr);
        let name = format!("bodies over {version:?}");
        let (fresh, _) = gateway.memory();
        let mut levels = Vec::new();
        for _ in 0..2 {
            attack.run(attack.callers, &gateway).await;
            gateway.assert_memory(&name, fresh, (attack.bound / MIB + 64) as u64);
            levels.push(returned(&gateway, fresh).await);
        }
        others.finish(&name).await;
        println!("{name}: {fresh} KiB before, {levels:?} KiB a while after each attack");
        assert!(levels[0] <= fresh + FRAGMENTS, "{name}: {levels:?} KiB");
        let bound = levels[0] + levels[0] / 10 + FRAGMENTS / 8;
        assert!(levels[1] <= bound, "{name}: {levels:?} KiB");
    }
}

/// Waits until the memory is back within 10 %, for a minute in full size. Returns it.
async fn returned(gateway: &GatewayProcess, before: u64) -> u64 {
    let mut now = gateway.memory().0;
    for _ in 0..scaled(20, 600) {
        if now <= before + before / 10 {
            break;
        }
        sleep(SECOND / 10).await;
        now = gateway.memory().0;
    }
    now
}
