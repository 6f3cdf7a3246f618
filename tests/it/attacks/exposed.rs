//! Errors of a configuration, and the addresses that show the state of the gateway.

use examples::gateway::Config;
use stack_tests::raw::{exchange, statuses};
use stack_tests::upstreams;

use super::child::GatewayProcess;
use crate::gateway::{endpoint_table, in_time};

/// A key in the wrong field.
const KEY: &str = "sk-misplaced-0123456789";

/// The sample file, with its comments of the form `# field = value` and `# [section]` as fields and
/// sections.
fn sample() -> Vec<String> {
    let sample = include_str!("../../../examples/gateway.toml");
    let mut lines: Vec<String> = Vec::new();
    let mut section = 0;
    for line in sample.lines() {
        let comment = line.strip_prefix("# ").unwrap_or_default();
        let is_code = is_field(comment) || comment.starts_with('[');
        let code = if is_code { comment } else { line };
        let code = code.split(" #").next().unwrap_or_default().trim_end();
        if code.starts_with('[') {
            section = lines.len();
        }
        // The file shows two forms of a field, and variables that are not set.
        let name = name_of(code);
        let is_repeated = lines[section..].iter().any(|line| name_of(line) == name);
        let is_skipped = is_field(code) && (is_repeated || name.ends_with("_env"));
        if !is_skipped && !code.starts_with('#') {
            // The only file that the configuration reads at once.
            let is_file = name == "catalogue_file";
            lines.push(match is_file {
                true => format!("{name} = '{CATALOGUE}'"),
                false => code.to_owned(),
            });
        }
    }
    lines
}

fn name_of(line: &str) -> &str {
    line.split(" = ").next().unwrap_or_default()
}

/// A catalogue that exists.
const CATALOGUE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/steadfast-models/models.toml"
);

/// Returns whether a line is `field = value`.
fn is_field(line: &str) -> bool {
    let name = name_of(line);
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    line.contains(" = ") && !name.is_empty() && name.bytes().all(is_name)
}

/// Values with the key: text, lists, tables, and text that is no TOML.
fn values() -> [String; 9] {
    [
        format!("\"{KEY}\""),
        format!("'http://{KEY}'"),
        format!("'http://{KEY}@127.0.0.1/v1'"),
        format!("'http://127.0.0.1:x{KEY}/v1?key={KEY}'"),
        format!("[\"{KEY}\"]"),
        format!("{{ \"{KEY}\" = 1 }}"),
        format!("{{ head = \"{KEY}\" }}"),
        KEY.to_owned(),
        format!("\"{KEY}"),
    ]
}

#[test]
fn configuration_error_quotes_no_misplaced_key() {
    let lines = sample();
    Config::parse(&lines.join("\n")).expect("the sample is valid");
    let fields = lines.iter().enumerate().filter(|(_, line)| is_field(line));
    let (mut errors, mut shown) = (0, Vec::new());
    for (at, line) in fields {
        let name = name_of(line);
        for value in values() {
            for replaced in [
                format!("{name} = {value}"),
                format!("{line}\n{value} = 1"),
                format!("{line}\n{name}_x = {value}"),
            ] {
                let mut lines = lines.clone();
                lines[at] = replaced;
                let Err(error) = Config::parse(&lines.join("\n")) else {
                    continue;
                };
                errors += 1;
                if format!("{error} {error:?}").contains(KEY) {
                    shown.push((lines[at].clone(), error.to_string()));
                }
            }
        }
    }
    assert!(errors > 100, "{errors} errors");
    assert!(
        shown.is_empty(),
        "{} of {errors}: {:#?}",
        shown.len(),
        &shown[..shown.len().min(5)]
    );
}

/// Clients of the open address see neither endpoints nor metrics.
#[tokio::test]
async fn open_address_serves_no_state() {
    let [upstream] = upstreams(["upstream"]).await;
    let table = endpoint_table("upstream", &upstream.url());
    let gateway = GatewayProcess::start(&format!("admin = '127.0.0.1:0'\n{table}"), &[]).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    for path in [
        "/status",
        "/metrics",
        "/Status",
        "//status",
        "/v1/../status",
        "/status/",
        "/status?x",
        "/debug",
        "/admin",
    ] {
        let answers = in_time(exchange(gateway.addr, get(path).as_bytes())).await;
        assert_eq!(statuses(&answers)[0], 404, "{path}");
    }
    for path in ["/status", "/metrics"] {
        let answers = in_time(exchange(gateway.admin(), get(path).as_bytes())).await;
        assert_eq!(statuses(&answers)[0], 200, "{path}");
    }
    // The state is not for web pages, and the operators' address forwards nothing.
    for (path, host) in [("/status", "evil.example"), ("/v1/models", "localhost")] {
        let request = get(path).replace("localhost", host);
        let answers = in_time(exchange(gateway.admin(), request.as_bytes())).await;
        assert!(statuses(&answers)[0] >= 400, "{path} {host}");
    }
    assert_eq!(upstream.counts().requests, 0);
}
