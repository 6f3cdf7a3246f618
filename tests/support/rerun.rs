//! Tests that need a process of their own.

use std::env;
use std::process::Command;

/// The input of a test in its own process.
const INPUT: &str = "STEADFAST_TEST_INPUT";

/// Returns the input of a test that [`rerun`] started, and `None` in the process of all tests.
#[must_use]
pub fn rerun_input() -> Option<String> {
    env::var(INPUT).ok()
}

/// Runs `test` of this binary again, alone in a process with `descriptors` (of `ulimit -n`), and
/// passes `input` to it. Returns its output.
///
/// The limit of a process also applies to the other tests of its binary.
///
/// # Panics
///
/// If the test fails, or does not exist.
pub async fn rerun(test: &str, descriptors: &str, input: &str) -> String {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {descriptors}; exec \"$0\" --exact --nocapture \"$1\"");
    command
        .args(["-c", &script])
        .arg(env::current_exe().expect("a path"))
        .arg(test)
        .env(INPUT, input);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    assert!(text.contains("1 passed"), "the test ran: {text}");
    format!("{text}{error}")
}
