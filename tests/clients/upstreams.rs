//! The gateway over three upstreams, for the real clients of `tests/clients/run`.
//!
//! ```text
//! cargo run --example client_upstreams -- COMMAND [ARGUMENT ...]
//! ```
//!
//! Runs the command with the base URL of the gateway in `GATEWAY`, and ends with its status. Each
//! call of a client has a name in the header `x-case`. A call that reached an upstream twice is an
//! error.
//!
//! | Upstream | Replies |
//! |---|---|
//! | `limited` | `429` with a hint, always |
//! | `dying` | streams break before their first visible token, or after two tokens for the model `cut-late`; other connections are lost |
//! | `healthy` | answers, also with tools, structured output and transcriptions |
//!
//! For the model `bad` each upstream returns `400`, and for `all-limited` `429`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use examples::gateway::{Config, router};
use serde_json::{Value, json};
use steadfast_testkit::{Behavior, Dialect, Hint, Received, Reply, Upstream};
use tokio::net::TcpListener;
use tokio::process::Command;
use tower::BoxError;

/// The hint of the limited upstream. It is longer than the longest wait of a stack.
const HINT: Duration = Duration::from_secs(120);
/// The time between two chunks of a stream that breaks.
const PAUSE: Duration = Duration::from_millis(50);
/// The interval at which the endpoints forget their failures, so that each call meets each of them.
const FORGET: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let upstreams = [
        start("limited", |request| {
            common(request).unwrap_or_else(|| limited(request))
        })
        .await?,
        start("dying", |request| {
            common(request).unwrap_or_else(|| dying(request))
        })
        .await?,
        start("healthy", |request| {
            common(request).unwrap_or_else(|| healthy(request))
        })
        .await?,
    ];
    let gateway = serve(&upstreams).await?;
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("a command is required")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("GATEWAY", gateway)
        .spawn()?;
    let status = child.wait().await?;
    let repeated = repeated(&upstreams);
    for line in &repeated {
        println!("{line}");
    }
    let failed = !status.success() || !repeated.is_empty();
    Ok(ExitCode::from(u8::from(failed)))
}

async fn start(
    name: &str,
    reply: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> Result<Upstream, BoxError> {
    let upstream = Upstream::start().await?.named(name);
    upstream.set(Behavior::by(reply));
    Ok(upstream)
}

/// Starts the gateway, and returns its address.
async fn serve(upstreams: &[Upstream]) -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut text = format!("listen = \"{address}\"\n");
    for upstream in upstreams {
        let (name, url) = (upstream.name(), upstream.url());
        text += &format!("[[endpoint]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    }
    let config = Config::parse(&text)?;
    let endpoints = config.stack.endpoints().clone();
    let names: Vec<_> = upstreams.iter().map(Upstream::name).collect();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(FORGET).await;
            for name in &names {
                let _ = endpoints.reset(name.as_str());
            }
        }
    });
    let app = router(&config);
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(format!("http://{address}"))
}

/// Returns the reply of each upstream to a request that no endpoint can serve.
fn common(request: &Received) -> Option<Reply> {
    match field(request, "model").as_str() {
        Some("bad") => Some(Reply::status(400).dialect(dialect(request))),
        Some("all-limited") => Some(limited(request)),
        _ => None,
    }
}

/// Returns the format of the API that a request addresses.
fn dialect(request: &Received) -> Dialect {
    match request.path() {
        path if path.ends_with("/messages") => Dialect::Anthropic,
        path if path.ends_with("/responses") => Dialect::Responses,
        _ => Dialect::OpenAi,
    }
}

fn limited(request: &Received) -> Reply {
    Reply::rate_limited(Hint::RetryAfter(HINT)).dialect(dialect(request))
}

fn dying(request: &Received) -> Reply {
    let late = field(request, "model") == json!("cut-late");
    let reply = Reply::ok().dialect(dialect(request));
    if field(request, "stream") == json!(true) {
        // Slowly, so that a client has read tokens before its stream breaks.
        let reply = reply.chunk_delay(PAUSE);
        reply.cut_after(if late { 2 } else { 0 })
    } else if is_transcription(request) {
        // An upload may have been processed, so it is repeated after a refusal only.
        limited(request)
    } else {
        Reply::reset()
    }
}

fn healthy(request: &Received) -> Reply {
    let reply = Reply::ok().dialect(dialect(request));
    if is_transcription(request) {
        reply.body(json!({ "text": "spoken words" }).to_string())
    } else if field(request, "tools").is_array() {
        let call = json!({ "name": "weather", "arguments": "{\"city\":\"Bern\"}" });
        let call = json!({ "id": "call-1", "type": "function", "function": call });
        reply.body(chat(
            &json!({ "role": "assistant", "content": null, "tool_calls": [call] }),
        ))
    } else if field(request, "response_format").is_object() {
        reply.body(chat(
            &json!({ "role": "assistant", "content": "{\"city\":\"Bern\"}" }),
        ))
    } else {
        reply
    }
}

fn is_transcription(request: &Received) -> bool {
    request.path().ends_with("/audio/transcriptions")
}

/// Returns a chat completion with this message.
fn chat(message: &Value) -> String {
    let finish = if message["tool_calls"].is_array() {
        "tool_calls"
    } else {
        "stop"
    };
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": finish }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    });
    answer.to_string()
}

/// Returns a field of a JSON body.
fn field(request: &Received, name: &str) -> Value {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    body.get(name).cloned().unwrap_or_default()
}

/// Returns a line for each named call that reached an upstream more than once.
fn repeated(upstreams: &[Upstream]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for upstream in upstreams {
        for request in upstream.log() {
            if let Some(case) = request.header("x-case") {
                *counts
                    .entry((case.to_owned(), upstream.name()))
                    .or_insert(0) += 1;
            }
        }
    }
    println!("{} attempts of named calls", counts.values().sum::<i32>());
    let repeated = counts.into_iter().filter(|&(_, count)| count > 1);
    let line = |((case, name), count)| format!("{case}: {count} attempts at {name}");
    repeated.map(line).collect()
}
