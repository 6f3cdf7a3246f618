//! Texts of callers and of servers in logs and metrics. None begins a line, controls a terminal, or
//! makes series of metrics without end.

use std::sync::Arc;

use serde_json::json;
use stack_tests::SECOND;
use stack_tests::raw::{RawServer, exchange, statuses};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::child::GatewayProcess;
use super::{COMPLETION, post, scaled};
use crate::gateway::{CHAT, endpoint_table, in_time};

/// A line of a log, and a sequence that changes the colour of a terminal.
const FORGED: &str = "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31m\u{85}\u{2028}";

/// The refusals of models, with the forged text in their message.
fn refusals() -> Vec<String> {
    let refusal = |status: u16, code: &str| {
        let error = json!({ "error": { "message": FORGED, "code": code, "type": FORGED } });
        let body = error.to_string();
        let size = body.len();
        format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{body}"
        )
    };
    vec![
        refusal(404, "model_not_found"),
        refusal(429, "insufficient_quota"),
        refusal(429, FORGED),
        refusal(500, FORGED),
        refusal(400, FORGED),
    ]
}

/// The header with the number of a refusal.
const NUMBER: &str = "\r\nx-refusal: ";

/// Starts a server that serves health checks, and refuses each other request as it demands.
async fn refusing() -> RawServer {
    let refusals = Arc::new(refusals());
    RawServer::start(move |request, mut stream| {
        let refusals = refusals.clone();
        async move {
            let text = String::from_utf8_lossy(&request).into_owned();
            let number = text.split_once(NUMBER).and_then(|(_, rest)| rest.get(..1));
            let number = number.and_then(|number| number.parse::<usize>().ok());
            let answer = number.map_or(COMPLETION, |number| &*refusals[number]);
            stream.write_all(answer.as_bytes()).await?;
            Ok(Some(stream))
        }
    })
    .await
}

/// A request for a model, with the number of its refusal.
fn chat(path: &str, model: &str, number: usize) -> String {
    let body = json!({ "model": model, "messages": [], "user": FORGED }).to_string();
    let (head, size) = (post(path), body.len());
    format!(
        "{}{NUMBER}{number}\r\ncontent-length: {size}\r\n\r\n{body}",
        head.trim_end()
    )
}

/// Returns what the operators read.
async fn state(gateway: &GatewayProcess, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = in_time(exchange(gateway.admin(), request.as_bytes())).await;
    assert_eq!(statuses(&answer)[0], 200);
    String::from_utf8(answer).expect("text")
}

async fn start(server: &RawServer, log: &str) -> GatewayProcess {
    let config = format!(
        "admin = '127.0.0.1:0'\n[stack]\nmax_wait = '0s'\n[stack.health]\ninterval = '20ms'\n{}",
        endpoint_table("refusing", &server.url())
    );
    GatewayProcess::start(&config, &[("RUST_LOG", log)]).await
}

#[tokio::test]
async fn text_of_caller_or_server_begins_no_line_of_log() {
    let server = refusing().await;
    let gateway = start(&server, "trace").await;
    for path in [CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings"] {
        for n in 0..refusals().len() {
            let request = chat(path, &format!("{FORGED}{n}"), n);
            in_time(exchange(gateway.addr, request.as_bytes())).await;
        }
    }
    let path = "/v1/models/%0a2026 forged";
    in_time(exchange(gateway.addr, chat(path, "m", 0).as_bytes())).await;
    // The bench of a model ends with a check, which is logged with the model.
    let ended = "health check ended a bench";
    let start = Instant::now();
    while !gateway.output().contains(ended) && start.elapsed() < 20 * SECOND {
        sleep(SECOND / 50).await;
    }
    let output = gateway.output();
    assert!(output.contains(ended), "{output}");
    assert!(output.contains("forged"), "the model is logged");
    let metrics = state(&gateway, "/metrics").await;
    assert!(!metrics.contains("forged"), "{metrics}");
    let status = state(&gateway, "/status").await;
    for text in [&output, &metrics, &status] {
        let forged = text.lines().find(|line| line.starts_with("2026-01-01T"));
        assert_eq!(forged, None);
        let controls = text
            .chars()
            .filter(|it| it.is_control() && !"\r\n\t".contains(*it));
        assert_eq!(controls.count(), 0, "{text:?}");
    }
}

/// Callers choose the models. Each of them would be a series of its own.
#[tokio::test]
async fn many_models_make_few_series() {
    let server = refusing().await;
    let gateway = start(&server, "off").await;
    let (before, _) = gateway.memory();
    let models = scaled(300, 20_000);
    for n in 0..models / 100 {
        let long = "m".repeat(1000);
        let requests = (0..100).map(|k| chat(CHAT, &format!("{n}-{k}-{long}"), 0));
        in_time(exchange(
            gateway.addr,
            requests.collect::<String>().as_bytes(),
        ))
        .await;
    }
    let metrics = state(&gateway, "/metrics").await;
    let keyed = metrics.matches("steadfast_cooldowns_total{").count();
    println!(
        "{models} models: {keyed} series of cooldowns, {} bytes",
        metrics.len()
    );
    // The label of a model that is not configured is `other`.
    assert!((1..=4).contains(&keyed), "{metrics}");
    let status = state(&gateway, "/status").await;
    assert!(status.len() < 1 << 20, "{} bytes", status.len());
    gateway.assert_memory("many models", before, 32);
}
