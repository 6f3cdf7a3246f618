//! A process that runs out of descriptors.

use stack_tests::{Events, SECOND, chat, read, rerun, rerun_input, upstreams};
use steadfast::crates::core::{BreakerState, Classified};
use steadfast::{AiStack, BoxError, Class, Endpoint, Event, Exhausted};
use steadfast_testkit::{Reply, Upstream};
use tokio::task::JoinSet;

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
    let Some(urls) = rerun_input() else {
        let upstreams = upstreams(["first", "second"]).await;
        for upstream in &upstreams {
            upstream.set(Reply::ok().latency(SECOND / 5));
        }
        let test = "descriptors::lack_of_descriptors_opens_no_breaker";
        let urls: Vec<_> = upstreams.iter().map(Upstream::url).collect();
        rerun(test, "64", &urls.join(",")).await;
        return;
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
