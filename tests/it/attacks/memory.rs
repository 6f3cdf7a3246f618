//! The memory of request bodies and of answers, in all connections together.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use stack_tests::SECOND;
use stack_tests::raw::{RawServer, connect};
use steadfast_testkit::Upstream;
use tokio::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::{COMPLETION, post, run_all, scaled};
use crate::gateway::{CHAT, REQUEST, STREAM_REQUEST, endpoint_table, new_client};

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

    /// Sends small requests of all callers at the same time, as the gateway serves on a usual day.
    /// A fresh process has no connections, and has not yet read most of its code.
    async fn warm_up(&self, gateway: &GatewayProcess) {
        let clients: Vec<_> = (0..self.callers)
            .map(|_| new_client(self.version))
            .collect();
        for _ in 0..3 {
            let mut sending = JoinSet::new();
            for client in clients.iter().cloned() {
                let url = format!("http://{}{CHAT}", gateway.addr);
                sending.spawn(send(url, REQUEST.into(), client));
            }
            let answers = sending.join_all().await;
            assert!(
                answers.iter().all(|it| it.is_some_and(|it| it.0 == 200)),
                "{answers:?}"
            );
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

pub(super) type Client = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    crate::gateway::AnyBody,
>;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_callers_use_bounded_memory() {
    let cases = [
        (Version::HTTP_11, false),
        (Version::HTTP_11, true),
        (Version::HTTP_2, false),
    ];
    run_all(cases.map(|(version, reads)| send_bodies(version, reads))).await;
}

/// Attacks a gateway over a server that reads large bodies or does not.
async fn send_bodies(version: Version, reads: bool) {
    let good = Upstream::start().await.unwrap();
    let attack = Attack::new(version);
    let config = format!(
        "[limits]\nbody_memory = {}\nmax_body = {}\n{}",
        attack.bound,
        attack.body + MIB,
        endpoint_table("silent", &server_silent_about_large_bodies(reads).await)
    );
    let gateway = GatewayProcess::start(&config, &[]).await;
    let beside = GatewayProcess::over([&*good.url()]).await;
    let others = OtherCaller::start(beside.addr).await;
    let name = format!("bodies over {version:?}, {reads}");
    let (cold, _) = gateway.memory();
    attack.warm_up(&gateway).await;
    let (warm, _) = gateway.memory();
    let mut levels = Vec::new();
    for _ in 0..2 {
        attack.run(attack.callers, &gateway).await;
        gateway.assert_memory(&name, warm, (attack.bound / MIB + 64) as u64);
        levels.push(returned(&gateway, warm).await);
    }
    others.finish(&name).await;
    println!("{name}: {cold} KiB cold, {warm} KiB warm, {levels:?} KiB after each attack");
    let is_back = levels.iter().all(|level| *level <= back(warm));
    assert!(is_back, "{name}: {warm} KiB before, {levels:?} KiB after");
}

/// The endpoint sends answers without an end, and the callers read nothing. Each answer was held up
/// to 8 MiB, so 200 of them took 1.2 GB.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_all_callers_use_bounded_memory() {
    let cases = [
        ("application/json", REQUEST, ""),
        ("text/event-stream", STREAM_REQUEST, ""),
        (
            "text/event-stream",
            STREAM_REQUEST,
            "[stack]\nstream_mode = 'buffered'\n",
        ),
    ];
    run_all(cases.map(hold_answers)).await;
}

/// Requests endless answers of a content type, and reads none of them.
async fn hold_answers((kind, request, settings): (&str, &str, &str)) {
    let server = server_of_spaces(kind).await;
    let config = settings.to_owned() + &endpoint_table("endless", &server.url());
    let gateway = GatewayProcess::start(&config, &[]).await;
    let (before, _) = gateway.memory();
    let size = request.len();
    let request = format!("{}content-length: {size}\r\n\r\n{request}", post(CHAT));
    let (callers, mut held) = (scaled(80, 200), Vec::new());
    for _ in 0..callers {
        let mut stream = connect(gateway.addr).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    // Until the memory has not grown for a second.
    let (mut most, mut quiet) = (0, 0);
    while quiet < 2 {
        let (now, _) = gateway.memory();
        quiet = if now > most { 0 } else { quiet + 1 };
        most = most.max(now);
        sleep(SECOND / 2).await;
    }
    let name = format!("endless answers of {kind} {settings:?}");
    // Each connection has its free part, and buffers of some 100 KiB on both sides.
    gateway.assert_memory(&name, before, 256 + callers as u64);
}

/// Starts a server that answers with spaces, without an end.
async fn server_of_spaces(kind: &str) -> RawServer {
    let spaces = format!("10000\r\n{}\r\n", " ".repeat(1 << 16)).into_bytes();
    let head =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: {kind}\r\n\r\n");
    RawServer::start(move |_, mut stream| {
        let (head, spaces) = (head.clone(), spaces.clone());
        async move {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&spaces).await?;
            }
        }
    })
    .await
}

/// Returns the highest memory that counts as back: 10 % more than before. In the smaller size, the
/// code of an attack and the threads of its scans are a larger part than 10 %.
fn back(before: u64) -> u64 {
    before + before / 10 + scaled(4 * 1024, 0) as u64
}

/// Waits until the memory is back, for a minute in full size. Returns it.
async fn returned(gateway: &GatewayProcess, before: u64) -> u64 {
    let mut now = gateway.memory().0;
    for _ in 0..scaled(250, 600) {
        if now <= back(before) {
            break;
        }
        sleep(SECOND / 10).await;
        now = gateway.memory().0;
    }
    now
}

/// Starts a server that answers small requests, and never a large one. `reads` selects whether it
/// reads large requests. Returns its base URL.
async fn server_silent_about_large_bodies(reads: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, reads));
        }
    });
    url
}

async fn serve(stream: TcpStream, reads: bool) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let value = line.strip_prefix("content-length: ");
            length = value.map_or(length, |value| value.trim().parse().unwrap());
        }
        let is_large = length > MIB as u64;
        if is_large && !reads {
            return pending().await;
        }
        copy(&mut (&mut stream).take(length), &mut sink()).await?;
        if !is_large {
            stream.write_all(COMPLETION.as_bytes()).await?;
        }
    }
}
