//! Output and errors of the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The keys of all lines, in their order.
const KEYS: [&str; 11] = [
    "scenario",
    "policy",
    "load",
    "seed",
    "requests",
    "success",
    "attempts_per_request",
    "rate_limited_per_request",
    "p50_s",
    "p99_s",
    "shares",
];

fn lab(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadfast-lab"))
        .args(line.split_whitespace())
        .output()
        .expect("the binary was built")
}

fn stdout(line: &str) -> String {
    let output = lab(line);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The error for invalid arguments.
fn refusal(line: &str) -> String {
    let output = lab(line);
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(output.stdout.is_empty(), "{line}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// The keys of an object in the order in which they were written. Its values must not have any.
fn keys(line: &str) -> Vec<&str> {
    let pieces = line
        .split(['{', ','])
        .filter_map(|piece| piece.split_once(':'));
    pieces.map(|(key, _)| key.trim_matches('"')).collect()
}

fn parsed(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("an object a line")
}

/// An empty directory for a test.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a directory of our own");
    path
}

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("it was written");
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, fs::read_to_string(entry.path()).expect("UTF-8"))
    };
    entries
        .map(|entry| file(entry.expect("an entry")))
        .collect()
}

#[test]
fn json_has_fixed_keys_in_order() {
    let text = stdout("quota --load 0.05 --seeds 2 --policy round-robin --json");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    for (line, seed) in lines.iter().zip(1..) {
        assert_eq!(keys(line), KEYS);
        let object = parsed(line);
        assert_eq!(object["scenario"], "quota");
        assert_eq!(object["policy"], "round-robin");
        assert_eq!(object["load"], 0.05);
        assert_eq!(object["seed"], seed);
        assert_eq!(object["shares"].as_array().map(Vec::len), Some(4));
        let success = object["success"].as_f64().expect("a number");
        assert!((0.0..=1.0).contains(&success), "{success}");
    }
}

#[test]
fn trouble_scenarios_have_extra_keys_at_end() {
    for (scenario, more) in [
        ("storm", &["peak_amplification", "recovered_s"][..]),
        ("herd", &["calls_per_request"]),
    ] {
        let line = format!("{scenario} --load 0.05 --seeds 1 --policy round-robin --json");
        let text = stdout(&line);
        let expected: Vec<_> = KEYS.iter().chain(more).copied().collect();
        assert_eq!(keys(text.trim_end()), expected);
    }
}

#[test]
fn single_scenario_prints_tables() {
    let text = stdout("outage --load 0.05 --policy round-robin --policy steadfast-scored");
    assert!(text.starts_with("# outage\n\n"), "{text}");
    assert!(
        text.contains("\n## Load 0.05\n\nMeans of 3 seeds."),
        "{text}"
    );
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].starts_with("| policy "), "{text}");
    assert!(rows[2].starts_with("| steadfast-scored "), "{text}");
    assert!(rows[3].starts_with("| round-robin "), "{text}");
    let width = |row: &str| row.chars().count();
    assert!(
        rows.iter().all(|row| width(row) == width(rows[0])),
        "{text}"
    );
}

#[test]
fn limits_scenario_prints_columns_of_callers() {
    let text = stdout("models --load 0.05 --seeds 1 --policy no-retry");
    for title in ["failed, free/limited", "of fair share %, free/limited"] {
        assert!(text.contains(&format!("| {title} ")), "{text}");
    }
    let text = stdout("impatient-2 --load 0.05 --seeds 1 --policy no-retry");
    assert!(text.contains("| of quota % |"), "{text}");
    assert!(
        text.contains("| hints hold % | returns served % |"),
        "{text}"
    );
}

#[test]
fn retry_run_has_own_policies_and_page() {
    let few = "retry --load 0.05 --seeds 1 --policy steadfast-retry --policy no-retry";
    let out = directory("retry");
    let text = stdout(&format!("{few} --out {}", out.display()));
    assert_eq!(text, stdout(few), "what is written is printed as well");
    assert!(text.starts_with("## storm at a load of 0.05\n\n"), "{text}");
    let files = files(&out);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["retry-storm.svg", "retry.md"]);
    let page = &files["retry.md"];
    assert!(page.contains(text.trim_end()), "{page}");
    assert!(
        page.contains("-- retry --out docs/lab --load 0.05"),
        "{page}"
    );
    assert!(!page.contains('{'), "{page}");
    let lines = stdout(&format!("{few} --json"));
    assert_eq!(lines.lines().count(), 2 * 7);
}

#[test]
fn breaker_run_writes_page() {
    let out = directory("breaker");
    let text = stdout(&format!("breaker --seeds 1 --out {}", out.display()));
    assert!(text.starts_with("## In one table\n\n| breaker "), "{text}");
    let files = files(&out);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["breaker.md"]);
    let page = &files["breaker.md"];
    assert!(page.contains(text.trim_end()), "{page}");
    assert!(
        page.contains("-- breaker --out docs/lab --seeds 1"),
        "{page}"
    );
    assert!(!page.contains('{'), "{page}");
}

#[test]
fn repeated_run_writes_equal_pages() {
    let write = |name| {
        let out = directory(name);
        let few = "--load 0.05 --seeds 1 --policy round-robin --policy steadfast-least-loaded";
        stdout(&format!("all {few} --out {}", out.display()));
        files(&out)
    };
    let (first, second) = (write("first"), write("second"));
    assert!(first == second, "two runs differ");
    let readme = &first["README.md"];
    assert!(
        readme.starts_with("<!-- Generated by `cargo run"),
        "{readme}"
    );
    assert!(first["ramp.md"].contains("| p99 at 1.3 |"));
    assert!(first["storm.md"].contains("](storm-endpoints.svg)"));
    assert!(first["storm-endpoints.svg"].starts_with("<svg "));
    for (name, text) in &first {
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{name}");
        assert!(text.len() < 150_000, "{name}");
    }
}

#[test]
fn list_shows_scenarios_and_policies() {
    let text = stdout("--list");
    for name in [
        "quota-no-hint",
        "fast-fail",
        "steadfast-scored",
        "round-robin",
        "poison-3-of-2",
    ] {
        assert!(text.contains(&format!("\n  {name} ")), "{text}");
    }
}

#[test]
fn unknown_scenario_lists_known_scenarios() {
    let message = refusal("quotas");
    for name in ["quotas", "all", "quota-slow", "recovery"] {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn invalid_values_are_named() {
    for (line, flag, value) in [
        ("quota --load 0", "--load", "'0'"),
        ("quota --load -1", "--load", "'-1'"),
        ("quota --load NaN", "--load", "'NaN'"),
        ("quota --load inf", "--load", "'inf'"),
        ("quota --load many", "--load", "'many'"),
        ("quota --seeds 0", "--seeds", "'0'"),
        ("quota --seeds -1", "--seeds", "'-1'"),
        ("quota --policy nobody", "--policy", "'nobody'"),
    ] {
        let message = refusal(line);
        assert!(message.contains(flag), "{line}: {message}");
        assert!(message.contains(value), "{line}: {message}");
    }
    refusal("");
    refusal("quota --out somewhere");
    refusal("quota --policy steadfast-retry");
    refusal("retry --policy round-robin");
    refusal("breaker --policy round-robin");
    refusal("breaker --load 0.5");
    refusal("breaker --json");
    refusal("goals --policy round-robin");
    refusal("goals --load 0.5");
    refusal("goals --json");
    refusal("limits --policy round-robin");
    refusal("limits --load 0.5");
    refusal("all --json --out somewhere");
}

#[test]
fn write_error_names_path() {
    let directory = directory("blocked");
    let file = directory.join("file");
    fs::write(&file, "").expect("a file");
    let out = file.join("lab");
    let output = lab(&format!("all --out {}", out.display()));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(&*out.to_string_lossy()), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}
