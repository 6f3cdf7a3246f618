//! The loop: each event reaches the rules exactly once.

use std::io;
use std::time::Duration;

use http::HeaderValue;
use steadfast_core::Verdict;
use tokio::time::timeout;

use super::*;
use crate::policy::client::{Client, Policy};
use crate::policy::rival::Rival;
use crate::world::{Call, Endpoint, Latency, Scenario, Trouble};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Chosen(usize),
    Sent(usize),
    Ended(usize, Kind, Duration),
    Nobody(u32),
    Again(u32),
    Over(u64),
}

use Event::{Again, Chosen, Ended, Nobody, Over, Sent};

/// Selects the endpoints in order, three times in all, and none where the script has none.
struct Script {
    endpoints: Vec<Option<usize>>,
    log: Arc<Mutex<Vec<Event>>>,
}

impl Script {
    fn note(&self, event: Event) {
        lock(&self.log).push(event);
    }
}

impl Rules for Script {
    fn choose(&mut self, request: &Progress, _: Instant) -> Option<usize> {
        let turn = request.attempts() + request.in_vain;
        let chosen = self.endpoints.get(turn as usize).copied().flatten();
        if let Some(endpoint) = chosen {
            self.note(Chosen(endpoint));
        }
        chosen
    }

    fn none_available(&mut self, request: &Progress) -> Option<Duration> {
        self.note(Nobody(request.in_vain));
        (request.attempts() + request.in_vain < 3).then_some(SECOND)
    }

    fn sent(&mut self, endpoint: usize) {
        self.note(Sent(endpoint));
    }

    fn ended(&mut self, endpoint: usize, end: End, _: Instant) {
        self.note(Ended(endpoint, end.kind, end.took));
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        self.note(Again(request.attempts()));
        (request.attempts() + request.in_vain < 3).then_some(SECOND)
    }

    fn over(&mut self, request: &Progress) {
        self.note(Over(request.id));
    }
}

/// A client of two endpoints, the first one in trouble, and the events of its rules.
fn client(
    endpoints: impl Into<Vec<Option<usize>>>,
    trouble: Trouble,
) -> (Client, Arc<Mutex<Vec<Event>>>) {
    let answers = |name| Endpoint::new(name).latency(Latency::Constant(200 * MILLI));
    let scenario = Scenario::new("loop")
        .endpoint(answers("a").trouble(0..60, trouble))
        .endpoint(answers("b"));
    let world = World::new(&scenario.endpoints, None, 1);
    let log = Arc::<Mutex<Vec<Event>>>::default();
    let (endpoints, events) = (endpoints.into(), log.clone());
    let rival = Rival {
        name: "script",
        about: "",
        rules: move |_: &Setup| Script {
            endpoints: endpoints.clone(),
            log: log.clone(),
        },
    };
    (rival.client(&Setup::new(&scenario, world, 1)), events)
}

async fn ask(client: &Client) -> Result<StatusCode, BoxError> {
    let answer = client.clone().oneshot(Call::new(1, 1).request()).await;
    answer.map(|answer| answer.status())
}

#[tokio::test(start_paused = true)]
async fn rules_receive_events_in_order() {
    let (client, events) = client([Some(0), None, Some(1)], Trouble::Fails(1.0, 503));
    let started = Instant::now();
    assert_eq!(ask(&client).await.expect("an answer"), StatusCode::OK);
    assert_eq!(started.elapsed(), 30 * MILLI + 2 * SECOND + 200 * MILLI);
    let told = [
        Chosen(0),
        Sent(0),
        Ended(0, Kind::Failed, 30 * MILLI),
        Again(1),
        Nobody(1),
        Chosen(1),
        Sent(1),
        Ended(1, Kind::Success, 200 * MILLI),
        Over(0),
    ];
    assert_eq!(*lock(&events), told);
}

#[tokio::test(start_paused = true)]
async fn loop_makes_attempts_of_rules_and_returns_last_answer() {
    let (client, events) = client([Some(0); 9], Trouble::Fails(1.0, 503));
    let status = ask(&client).await.expect("an answer");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let told = lock(&events).clone();
    assert_eq!(told.iter().filter(|event| **event == Sent(0)).count(), 3);
    assert_eq!(told[told.len() - 2..], [Again(3), Over(0)]);
    ask(&client).await.expect("an answer");
    assert_eq!(lock(&events).last(), Some(&Over(1)));
}

#[tokio::test(start_paused = true)]
async fn loop_without_endpoint_fails() {
    let (client, events) = client([], Trouble::Hangs);
    let error = ask(&client).await.expect_err("nobody was asked");
    assert_eq!(error.to_string(), "nobody can take the request");
    assert_eq!(*lock(&events), [Nobody(1), Nobody(2), Nobody(3), Over(0)]);
}

#[tokio::test(start_paused = true)]
async fn dropped_request_ends_once() {
    let (client, events) = client([Some(0)], Trouble::Hangs);
    assert!(timeout(5 * SECOND, ask(&client)).await.is_err());
    let abandoned = Ended(0, Kind::Abandoned, 5 * SECOND);
    assert_eq!(*lock(&events), [Chosen(0), Sent(0), abandoned, Over(0)]);
}

#[tokio::test(start_paused = true)]
async fn request_dropped_during_wait_ends_once() {
    let (client, events) = client([Some(0); 3], Trouble::Refuses);
    assert!(timeout(500 * MILLI, ask(&client)).await.is_err());
    let broken = Ended(0, Kind::Broken, 30 * MILLI);
    assert_eq!(
        *lock(&events),
        [Chosen(0), Sent(0), broken, Again(1), Over(0)]
    );
}

#[test]
fn hints_are_milliseconds_or_whole_seconds() {
    for (millis, seconds, expected) in [
        (None, None, None),
        (None, Some("2"), Some(2_000)),
        (Some("1500"), None, Some(1_500)),
        (Some("1500"), Some("2"), Some(1_500)),
        (Some("soon"), Some("2"), Some(2_000)),
        (None, Some("-1"), None),
        (None, Some("Sun, 06 Nov 1994 08:49:37 GMT"), None),
    ] {
        let mut answer = Answer::default();
        for (name, value) in [("retry-after-ms", millis), ("retry-after", seconds)] {
            if let Some(value) = value {
                let value = HeaderValue::from_static(value);
                answer.headers_mut().insert(name, value);
            }
        }
        let expected = expected.map(Duration::from_millis);
        assert_eq!(hint(answer.headers()), expected, "{millis:?} {seconds:?}");
    }
}

#[test]
fn hint_in_seconds_is_rounded_up() {
    for (hint, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
        let end = End {
            kind: Kind::Limited,
            hint: Some(hint * MILLI),
            took: SECOND,
        };
        assert_eq!(end.hint_in_seconds(), Some(expected * SECOND), "{hint} ms");
    }
}

#[test]
fn each_outcome_has_its_kind() {
    for (status, expected, may_retry) in [
        (200, Kind::Success, false),
        (400, Kind::Rejected, false),
        (404, Kind::Rejected, false),
        (408, Kind::Failed, true),
        (409, Kind::Failed, true),
        (429, Kind::Limited, true),
        (500, Kind::Failed, true),
        (529, Kind::Failed, true),
    ] {
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        let kind = kind(&Ok(answer));
        assert_eq!((kind, kind.may_retry()), (expected, may_retry), "{status}");
    }
    for (class, expected) in [
        (Class::Connect, Kind::Broken),
        (Class::Transport, Kind::Broken),
        (Class::Timeout, Kind::TimedOut),
    ] {
        let error = io::Error::from(io::ErrorKind::Other);
        let error = Classified::new(Verdict::new(class), error);
        assert_eq!(kind(&Err(error.into())), expected, "{class:?}");
    }
}
