//! A process that runs out of descriptors.
//!
//! The limit of a process also applies to the other tests of its binary, so each test here starts
//! this binary a second time, below a shell with a lower limit.

use std::process::Command;

use stack_tests::{Events, SECOND, chat, read, upstreams};
use steadfast::crates::core::{BreakerState, Classified};
use steadfast::{AiStack, BoxError, Class, Endpoint, Event, Exhausted};
use steadfast_testkit::{Reply, Upstream};
use tokio::task::JoinSet;

/// The endpoints of the process with the lower limit, separated by commas.
const ENDPOINTS: &str = "STEADFAST_TEST_ENDPOINTS";

/// Runs `test` of this binary with 64 descriptors, and passes the endpoints to it.
async fn run_with_64_descriptors(test: &str, upstreams: &[Upstream]) {
    let urls: Vec<_> = upstreams.iter().map(Upstream::url).collect();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().expect("a path"))
        .arg(test)
        .env(ENDPOINTS, urls.join(","));
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    assert!(text.contains("1 passed"), "the test ran: {text}");
}

/// Returns the stack of the process with the lower limit.
fn limited_stack(urls: &str, events: &Events) -> AiStack {
    let endpoints = urls.split(',').enumerate().map(|(n, url)| {
        let name = format!("endpoint{n}");
        Endpoint::new(&name, url).expect("a URL")
    });
    let builder = AiStack::builder().endpoints(endpoints);
    events.watch(builder).build().expect("a stack")
}

fn class_of(error: &BoxError) -> Class {
    let exhausted = Exhausted::find(&**error).map(Exhausted::verdict);
    let verdict = exhausted.or_else(|| Classified::find(&**error).map(Classified::verdict));
    verdict.expect("a verdict").class()
}

/// The errors of this machine counted as failures of healthy endpoints. Both breakers opened, and
/// 46 of 50 callers received an error.
#[tokio::test(flavor = "multi_thread")]
async fn lack_of_descriptors_opens_no_breaker() {
    let Ok(urls) = std::env::var(ENDPOINTS) else {
        let upstreams = upstreams(["first", "second"]).await;
        for upstream in &upstreams {
            upstream.set(Reply::ok().latency(SECOND / 5));
        }
        let test = "descriptors::lack_of_descriptors_opens_no_breaker";
        return run_with_64_descriptors(test, &upstreams).await;
    };
    let events = Events::default();
    let ai = limited_stack(&urls, &events);
    let requests: JoinSet<_> = (0..150)
        .map(|_| {
            let ai = ai.clone();
            async move { read(ai.send(chat(false)).await?).await }
        })
        .collect();
    let outcomes = requests.join_all().await;
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(class_of(error), Class::Local, "{error}");
    }
    for status in ai.status() {
        assert_eq!(status.breaker, BreakerState::Closed);
        assert!(
            (status.health - 1.0).abs() < f64::EPSILON,
            "{}",
            status.name
        );
    }
    let local = |event: &Event| {
        matches!(
            event,
            Event::Failover {
                class: Class::Local,
                ..
            }
        )
    };
    assert!(events.count(local) > 0, "the limit was not reached");
    let after = ai.send(chat(false)).await;
    assert_eq!(after.expect("an answer").status(), 200);
}
