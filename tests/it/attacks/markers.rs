//! A search for secrets. Markers serve as keys, secret queries, tokens of a file and of commands,
//! headers of the configuration, and credentials of callers, also at the address of the operators.
//! All output at `RUST_LOG=trace`, the operators' routes, the answers, and the requests at the
//! other endpoints must contain none of them.

use std::path::Path;

use stack_tests::raw::{RawServer, exchange, request_http2};
use tokio::io::AsyncWriteExt;

use super::child::GatewayProcess;
use super::credentials::{HEADERS, QUERIES};
use super::{COMPLETION, post};
use crate::gateway::{CHAT, REQUEST, in_time};

/// A part of each marker of an endpoint, with its name.
const OF_A: &str = "mark-a-";
const OF_B: &str = "mark-b-";
const OF_DOWN: &str = "mark-down-";
/// A token in a file, a token that a command prints, and the output of a command that fails.
const OF_FILE: &str = "mark-file-";
const OF_COMMAND: &str = "mark-command-";
const OF_FAILING: &str = "mark-failing-";
/// The keys of a preset, and the headers of its table.
const OF_PRESET: &str = "mark-preset-";
/// The header of a caller that one endpoint receives.
const PASSED: &str = "mark-passed-";
/// A part of each marker of a caller.
const OF_CALLER: &str = "mark-caller-";

/// The answers of endpoint `a`, one after another.
const ANSWERS: &[&str] = &[
    COMPLETION,
    "HTTP/1.1 401 x\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 429 x\r\nretry-after: 0\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 302 x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{}",
    "garbage\r\n\r\n",
    "",
];

/// Starts an endpoint that sends the next of `ANSWERS` for each request.
async fn endpoint_a() -> RawServer {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    RawServer::start(move |_, mut stream| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let answer = ANSWERS[n % ANSWERS.len()];
            stream.write_all(answer.as_bytes()).await?;
            Ok((answer == COMPLETION).then_some(stream))
        }
    })
    .await
}

/// Endpoints that always answer.
struct Others {
    b: RawServer,
    file: RawServer,
    command: RawServer,
    preset: RawServer,
}

impl Others {
    async fn start() -> Self {
        let server = || RawServer::keeping(COMPLETION);
        Self {
            b: server().await,
            file: server().await,
            command: server().await,
            preset: server().await,
        }
    }

    /// Returns their tables, with a marker in each other place of a secret.
    fn tables(&self, file: &Path) -> String {
        let table = |name: &str, url: &str, rest: &str| {
            format!("[[endpoint]]\nname = '{name}'\nurl = '{url}'\n{rest}\n")
        };
        let command = |script: &str| format!("token = {{ command = ['sh', '-c', '{script}'] }}");
        let print = format!("echo {OF_COMMAND}error >&2; echo {OF_COMMAND}token");
        let fail = format!("echo {OF_FAILING}error >&2; echo {OF_FAILING}token; exit 3");
        let preset = format!(
            "provider = 'anthropic'\nformats = []\napi_key_env = ['PRESET_1', 'PRESET_2']\n\
             organization = '{OF_PRESET}organization'\n\
             headers = {{ x-team = '{OF_PRESET}team', x-team-key = '{OF_PRESET}header' }}\n\
             pass_headers = ['x-passed-token']"
        );
        [
            table(
                "file",
                &self.file.url(),
                &format!("token = {{ file = '{}' }}", file.display()),
            ),
            table("command", &self.command.url(), &command(&print)),
            table("failing", "http://127.0.0.1:1/v1", &command(&fail)),
            table("preset", &self.preset.url(), &preset),
        ]
        .concat()
    }
}

/// Starts a gateway with a marker in each place of a key or a secret query.
async fn gateway(a: &RawServer, others: &Others, file: &Path) -> GatewayProcess {
    let endpoint = |name: &str, url: &str, marks: &str| {
        let query = format!("?key={marks}query&x={marks}plain&{marks}name");
        format!("[[endpoint]]\nname = '{name}'\nurl = '{url}{query}'\napi_key_env = 'KEY_{name}'\n")
    };
    let config = format!(
        "admin = '127.0.0.1:0'\n[stack]\nstrategy = 'round_robin'\n\
         [stack.health]\ninterval = '100ms'\nunhealthy = 10000\n{}{}{}{}",
        endpoint("a", &a.url(), OF_A),
        endpoint("b", &others.b.url(), OF_B),
        endpoint("down", "http://127.0.0.1:1/v1", OF_DOWN),
        others.tables(file),
    );
    let keys = [OF_A, OF_B, OF_DOWN].map(|marks| format!("{marks}key"));
    let preset_keys = ["1", "2"].map(|n| format!("sk-ant-{OF_PRESET}key-{n}"));
    let variables = [
        ("RUST_LOG", "trace"),
        ("KEY_a", &keys[0]),
        ("KEY_b", &keys[1]),
        ("KEY_down", &keys[2]),
        ("PRESET_1", &preset_keys[0]),
        ("PRESET_2", &preset_keys[1]),
    ];
    GatewayProcess::start(&config, &variables).await
}

/// Requests with a marker in each place of a credential. Some are rejected by the gateway.
fn requests() -> Vec<String> {
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
    };
    let headers = HEADERS
        .iter()
        .map(|name| get("/v1/models", &format!("{name}: {OF_CALLER}{name}\r\n")));
    let queries = QUERIES
        .iter()
        .map(|query| get(&format!("/v1/models?{query}{OF_CALLER}query"), ""));
    let all: String = HEADERS
        .iter()
        .map(|name| format!("{name}: {OF_CALLER}{name}\r\n"))
        .collect();
    let all = format!("{all}x-passed-token: {PASSED}header\r\n");
    let size = REQUEST.len();
    let chat = |target: &str, more: &str| {
        format!(
            "{}{all}{more}content-length: {size}\r\n\r\n{REQUEST}",
            post(target)
        )
    };
    let target = format!("{CHAT}?key={OF_CALLER}query");
    let mut requests: Vec<_> = headers.chain(queries).collect();
    // Each answer of `a`, and the end of the breaker of `down`.
    requests.extend((0..80).map(|_| chat(&target, "")));
    requests.extend([
        chat(&target, "origin: https://evil.example\r\n"),
        chat(&target, "connection: upgrade\r\nupgrade: websocket\r\n"),
        chat(&target, "content-length: 1\r\n"),
        chat(&target, "no colon\r\n"),
        chat(&target, "x: \0\r\n"),
        chat(&target, " folded\r\n"),
        chat(&target, "expect: 100-continue\r\n"),
        chat(&target, "content-length: 99999999999\r\n"),
        chat(&format!("/elsewhere?key={OF_CALLER}query"), ""),
        chat(&format!("/v1/../x?key={OF_CALLER}query"), ""),
        chat(
            &format!("http://user:{OF_CALLER}password@localhost/v1/models"),
            "",
        ),
        chat(&target, "").replace("POST", "TRACE"),
        chat(&target, "").replace("POST", "OPTIONS"),
        chat(&target, "").replace("HTTP/1.1", "HTTP/1.0"),
        chat(&target, "").replace("HTTP/1.1", "HTTP/4"),
        format!("CONNECT user:{OF_CALLER}password@localhost:1 HTTP/1.1\r\n\r\n"),
        format!("{OF_CALLER}garbage\r\n\r\n"),
    ]);
    requests
}

/// Sends the same over HTTP/2: a valid request, and one with an invalid header.
async fn send_http2(gateway: &GatewayProcess, invalid: bool) -> Vec<u8> {
    let path = format!("{CHAT}?key={OF_CALLER}query");
    let secrets: Vec<_> = HEADERS.iter().map(|name| name.to_lowercase()).collect();
    let value = format!("{OF_CALLER}header");
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", &*path),
        (":authority", "localhost"),
    ];
    fields.extend(secrets.iter().map(|name| (&**name, &*value)));
    if invalid {
        fields.push(("connection", &value));
    }
    let answer = in_time(request_http2(gateway.addr, &fields, None)).await;
    answer.into_iter().flat_map(|it| it.payload).collect()
}

/// Returns the lines of `text` that contain a marker of `marks`.
fn leaks<'a>(text: &'a str, marks: &[&str]) -> Vec<&'a str> {
    let marked = |line: &&str| marks.iter().any(|mark| line.contains(mark));
    text.lines().filter(marked).collect()
}

/// Returns the requests that a server has received.
fn received(server: &RawServer, own: &[&str]) -> String {
    let requests = server.requests();
    let count = requests.len();
    assert!(count >= ANSWERS.len(), "{count} requests");
    let text = String::from_utf8_lossy(&requests.concat()).into_owned();
    for mark in own {
        assert!(text.contains(mark), "{mark} is missing in {text}");
    }
    text
}

/// Returns the answers to requests with secrets at the address of the operators.
async fn state(gateway: &GatewayProcess) -> Vec<u8> {
    let mut state = Vec::new();
    for target in ["/status", "/metrics", "/elsewhere"] {
        let secret = format!("?key={OF_CALLER}query HTTP/1.1\r\nx-api-key: {OF_CALLER}header");
        for end in [" HTTP/1.1", &secret] {
            let request = format!("GET {target}{end}\r\nhost: localhost\r\n\r\n");
            state.extend(in_time(exchange(gateway.admin(), request.as_bytes())).await);
        }
    }
    state
}

#[tokio::test]
async fn no_secret_is_shown_or_sent_elsewhere() {
    let file = std::env::temp_dir().join(format!("steadfast-marker-{}", std::process::id()));
    std::fs::write(&file, format!("{OF_FILE}token\n")).expect("a file");
    let (a, others) = (endpoint_a().await, Others::start().await);
    let gateway = gateway(&a, &others, &file).await;
    let mut answers = Vec::new();
    for request in requests() {
        answers.extend(in_time(exchange(gateway.addr, request.as_bytes())).await);
    }
    for invalid in [false, true] {
        answers.extend(send_http2(&gateway, invalid).await);
    }
    let state = state(&gateway).await;
    std::fs::remove_file(&file).expect("the file");
    let keys = [
        "sk-ant-mark-preset-key-1",
        "mark-preset-key-2",
        "mark-preset-header",
    ];
    let at_preset = [
        &keys[..],
        &["mark-preset-team", "mark-preset-organization", PASSED],
    ]
    .concat();
    let servers = [
        (&a, "mark-a-", &["mark-a-key", "mark-a-query"][..]),
        (&others.b, "mark-b-", &["mark-b-key"]),
        (&others.file, "mark-file-", &["Bearer mark-file-token"]),
        (
            &others.command,
            "mark-command-",
            &["Bearer mark-command-token"],
        ),
        (&others.preset, "mark-preset-", &at_preset),
    ];
    let output = gateway.output();
    assert!(
        output.len() > 10_000 && output.contains("TRACE"),
        "{output}"
    );
    let all = [
        OF_A, OF_B, OF_DOWN, OF_FILE, OF_COMMAND, OF_FAILING, OF_PRESET, OF_CALLER, PASSED,
    ];
    let check = |place: &str, text: &str, own: &[&str]| {
        let marks: Vec<_> = all.into_iter().filter(|mark| !own.contains(mark)).collect();
        let leaks = leaks(text, &marks);
        let shown = leaks[..leaks.len().min(20)].join("\n");
        assert!(
            leaks.is_empty(),
            "{} lines of {place}:\n{shown}",
            leaks.len()
        );
    };
    for (server, mark, expected) in servers {
        let passed = if mark == OF_PRESET { PASSED } else { mark };
        check(mark, &received(server, expected), &[mark, passed]);
    }
    check("the answers", &String::from_utf8_lossy(&answers), &[]);
    check("the state", &String::from_utf8_lossy(&state), &[]);
    check("the output", &output, &[]);
}
