//! The numbers of a snapshot are consistent at each moment, in any order of ends.

use std::convert::Infallible;

use crate::support::{Answer, Call, Client, Respond, TestBody, exhausted, get, ok};
use proptest::prelude::*;
use steadfast_core::{Class, Classified, Verdict};
use steadfast_metrics::{MetricsLayer, Snapshot};
use tokio_test::{assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, service_fn};

/// An event of one request in flight. The number selects the request.
#[derive(Clone, Debug)]
enum Step {
    Start,
    /// The head arrives with this class. The number after it selects a complete, a long or a broken
    /// body.
    Head(usize, Class, u8),
    Fail(usize, Class),
    /// No endpoint is admissible, after this number of attempts.
    Exhaust(usize, usize),
    DropFuture(usize),
    ReadBody(usize),
    DropBody(usize),
}

fn class() -> impl Strategy<Value = Class> {
    let from_heads = Class::ALL
        .into_iter()
        .filter(|class| *class != Class::Cancelled);
    prop::sample::select(from_heads.collect::<Vec<_>>())
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        3 => Just(Step::Start),
        3 => (which(), class(), 0..3u8).prop_map(|(n, class, body)| Step::Head(n, class, body)),
        1 => (which(), class()).prop_map(|(n, class)| Step::Fail(n, class)),
        1 => (which(), 0..4usize).prop_map(|(n, attempts)| Step::Exhaust(n, attempts)),
        1 => which().prop_map(Step::DropFuture),
        2 => which().prop_map(Step::ReadBody),
        1 => which().prop_map(Step::DropBody),
    ]
}

/// The same numbers, counted in the simplest way.
#[derive(Default)]
struct Model {
    calls: Vec<(Call, Respond)>,
    bodies: Vec<(Answer, Class, u8)>,
    started: u64,
    ended: Vec<Class>,
    attempts: u64,
}

impl Model {
    fn end(&mut self, class: Class, attempts: usize) {
        self.ended.push(class);
        self.attempts += attempts as u64;
    }

    fn check(&self, snapshot: &Snapshot) {
        let count = |wanted: &[Class]| {
            let ended = self.ended.iter().filter(|class| wanted.contains(class));
            ended.count() as u64
        };
        assert_eq!(snapshot.total, self.ended.len() as u64);
        assert_eq!(
            snapshot.in_flight,
            (self.calls.len() + self.bodies.len()) as u64
        );
        assert_eq!(snapshot.total + snapshot.in_flight, self.started);
        assert_eq!(snapshot.successful, count(&[Class::Success]));
        assert_eq!(
            snapshot.rate_limited,
            count(&[Class::RateLimited, Class::QuotaExhausted])
        );
        assert_eq!(snapshot.cancelled, count(&[Class::Cancelled]));
        assert_eq!(
            snapshot.total,
            snapshot.successful
                + snapshot.rate_limited
                + snapshot.other_errors
                + snapshot.cancelled
        );
        assert_eq!(snapshot.attempts, self.attempts);
        assert!((0.0..=1.0).contains(&snapshot.success_rate()));
    }
}

fn take<T>(items: &mut Vec<T>, n: usize) -> Option<T> {
    (!items.is_empty()).then(|| items.remove(n % items.len()))
}

fn apply(step: &Step, client: &mut Client, model: &mut Model) {
    match *step {
        Step::Start => {
            assert_ready_ok!(client.service.poll_ready());
            let call = task::spawn(client.service.call(get()));
            let mut request = task::spawn(client.handle.next_request());
            let (_, respond) = tokio_test::assert_ready!(request.poll()).expect("a request");
            model.calls.push((call, respond));
            model.started += 1;
        }
        Step::Head(n, class, body) => {
            let Some((mut call, respond)) = take(&mut model.calls, n) else {
                return;
            };
            let mut response = ok(match body {
                0 => TestBody::sized(0),
                1 => TestBody::stream(1),
                _ => TestBody::broken("reset"),
            });
            response.extensions_mut().insert(Verdict::new(class));
            respond.send_response(response);
            let answer = assert_ready_ok!(call.poll());
            if body == 0 {
                model.end(class, 1);
            } else {
                model.bodies.push((answer, class, body));
            }
        }
        Step::Fail(n, class) => {
            if let Some((mut call, respond)) = take(&mut model.calls, n) {
                respond.send_error(Classified::new(Verdict::new(class), "failed"));
                assert_ready_err!(call.poll());
                model.end(class, 1);
            }
        }
        Step::Exhaust(n, attempts) => {
            if let Some((mut call, respond)) = take(&mut model.calls, n) {
                respond.send_error(exhausted(&["a", "b", "c"][..attempts]));
                assert_ready_err!(call.poll());
                model.end(Class::RateLimited, attempts);
            }
        }
        Step::DropFuture(n) => {
            if take(&mut model.calls, n).is_some() {
                model.end(Class::Cancelled, 0);
            }
        }
        Step::ReadBody(n) => {
            if let Some((answer, class, body)) = take(&mut model.bodies, n) {
                let mut read = task::spawn(http_body_util::BodyExt::collect(answer.into_body()));
                let read = tokio_test::assert_ready!(read.poll());
                assert_eq!(read.is_ok(), body == 1);
                model.end(if body == 1 { class } else { Class::Transport }, 1);
            }
        }
        Step::DropBody(n) => {
            if let Some((_, class, _)) = take(&mut model.bodies, n) {
                model.end(class, 1);
            }
        }
    }
}

proptest! {
    #[test]
    fn numbers_are_consistent_after_each_step(steps in prop::collection::vec(step(), 0..60)) {
        let layer = MetricsLayer::requests();
        let mut client = Client::new(layer.clone());
        let mut model = Model::default();
        for step in &steps {
            apply(step, &mut client, &mut model);
            model.check(&layer.snapshot());
        }
        let under_way = model.calls.len() + model.bodies.len();
        model.calls.clear();
        model.bodies.clear();
        let last = layer.snapshot();
        prop_assert_eq!(last.in_flight, 0);
        prop_assert_eq!(last.total, (model.ended.len() + under_way) as u64);
    }
}

/// If a snapshot read the starts first, it would miss the requests that start while it reads the
/// ends. It would show too few requests in flight.
#[test]
fn held_requests_stay_in_flight_while_others_end() {
    let layer = MetricsLayer::requests();
    let mut service = layer.layer(service_fn(|_: http::Request<()>| {
        std::future::ready(Ok::<_, Infallible>(ok(TestBody::sized(0))))
    }));
    let held: Vec<_> = (0..1000).map(|_| service.call(get())).collect();
    std::thread::scope(|scope| {
        let busy = [(); 4].map(|()| {
            let mut service = service.clone();
            scope.spawn(move || {
                for _ in 0..25_000 {
                    assert_ready_ok!(task::spawn(service.call(get())).poll());
                }
            })
        });
        while busy.iter().any(|thread| !thread.is_finished()) {
            assert!(layer.snapshot().in_flight >= 1000);
        }
    });
    drop(held);
    let snapshot = layer.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.total), (0, 101_000));
    assert_eq!((snapshot.successful, snapshot.cancelled), (100_000, 1000));
}

#[cfg(feature = "serde")]
#[test]
fn snapshot_is_serialized_as_numbers() {
    let json = serde_json::to_value(Snapshot::default()).expect("plain data");
    for field in [
        "total",
        "in_flight",
        "successful",
        "rate_limited",
        "cancelled",
        "other_errors",
        "attempts",
        "failovers",
    ] {
        assert_eq!(json[field], 0, "{field}");
    }
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(8));
}
