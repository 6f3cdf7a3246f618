//! Many requests with random outcomes. No reservation may be lost.

mod callers;
mod operators;
mod servers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use steadfast_balance::{Endpoint, EndpointBalanceLayer, PoolHandle, Strategy, WhenExhausted};
use steadfast_core::{BreakerState, Event, LimitKey};
use steadfast_metrics::{MetricsLayer, Snapshot};
use steadfast_retry::RetryOn429Layer;
use tokio::time::{Instant, sleep};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder, ServiceExt};

use self::callers::{Counted, pass_random_time, run_caller};
use self::operators::{change_random_endpoint, enable_all, random_endpoint};
use self::servers::{Dice, Mood, reply_in_mood};
use crate::support::{
    Body, Events, Http, MS, Net, Reply, SECOND, STRATEGIES, ok, paused_runtime, request_only_to,
    send,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The models of most requests.
const MODELS: [&str; 3] = ["x", "y", "z"];

const LIMIT: usize = 3;

const MAX_ATTEMPTS: usize = 3;

/// The metrics of each endpoint, including removed ones.
#[derive(Clone, Default)]
struct Meters(Arc<Mutex<HashMap<String, MetricsLayer>>>);

impl Meters {
    fn of(&self, endpoint: &Endpoint) -> MetricsLayer {
        let mut all = self.0.lock().unwrap();
        let name = endpoint.name().to_string();
        let new = || MetricsLayer::attempts(name.as_str());
        all.entry(name.clone()).or_insert_with(new).clone()
    }

    fn snapshot(&self, name: &str) -> Snapshot {
        self.0.lock().unwrap()[name].snapshot()
    }
}

/// Returns the number of steps: requests, attempts, and changes of the endpoints.
async fn run_random_requests(seed: u64, strategy: Strategy, requests: usize) -> usize {
    let dice = Dice(Arc::new(Mutex::new(Rng::with_seed(seed))));
    let moods = Arc::new(Mutex::new([Mood::Well; NAMES.len()]));
    let net = Net::new();
    for (n, name) in NAMES.iter().enumerate() {
        let (moods, dice) = (moods.clone(), dice.clone());
        net.on(name, move |_| {
            reply_in_mood(moods.lock().unwrap()[n], &dice)
        });
    }
    let degrades = dice.one_in(2);
    let events = Events::default();
    let meters = Meters::default();
    let layer = EndpointBalanceLayer::builder()
        .endpoints((0..NAMES.len()).map(|n| random_endpoint(n).degraded(degrades && n >= 2)))
        .strategy(strategy)
        .seed(seed)
        .abandoned_after(10 * SECOND)
        .when_exhausted(dice.pick(&[
            WhenExhausted::Fail,
            WhenExhausted::Wait,
            WhenExhausted::LeastBad,
        ]))
        .max_wait(dice.pick(&[Duration::ZERO, SECOND, 5 * SECOND]))
        .prefer_wait(dice.pick(&[Duration::ZERO, 200 * MS]))
        .observer(events.observer())
        .endpoint_layer({
            let meters = meters.clone();
            move |endpoint| {
                ServiceBuilder::new()
                    .layer(ConcurrencyLimitLayer::new(LIMIT))
                    .layer(meters.of(endpoint))
            }
        })
        .build()
        .expect("valid");
    let handle = layer.handle();
    let balancer = layer.layer(net.client());
    let outside = MetricsLayer::requests();
    let service = ServiceBuilder::new()
        .layer(outside.clone())
        .layer(RetryOn429Layer::new().seed(seed))
        .service(balancer.clone());

    let counted = Arc::new(Counted::default());
    let (mut running, mut changes) = (Vec::new(), 0);
    for n in 0..requests {
        let caller = run_caller(service.clone(), dice.clone(), counted.clone());
        running.push(tokio::spawn(caller));
        pass_random_time(&dice).await;
        if n % 50 == 0 {
            let mood = dice.pick(&[
                Mood::Well,
                Mood::Well,
                Mood::Limited,
                Mood::Broken,
                Mood::Mixed,
                Mood::Benched,
            ]);
            moods.lock().unwrap()[dice.below(NAMES.len())] = mood;
        }
        if dice.one_in(30) {
            change_random_endpoint(&handle, &dice).await;
            changes += 1;
            assert_bounds(&handle, seed);
        }
    }
    for task in running {
        task.await.expect("the task panicked");
    }

    let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let sent: usize = NAMES.iter().map(|name| net.count(name)).sum();
    let attempts = get(&counted.attempts);
    assert_eq!(sent, attempts, "seed {seed}: one record per attempt");
    assert!(attempts > requests / 5, "seed {seed}: {attempts} attempts");
    let reported = events.count(|event| matches!(event, Event::Failover { .. }));
    let failovers = get(&counted.failovers);
    assert_eq!(reported, failovers, "seed {seed}: one event per failover");
    for name in NAMES {
        let (meter, sent) = (meters.snapshot(name), net.count(name) as u64);
        assert_eq!((meter.total, meter.in_flight), (sent, 0), "{name}");
    }
    let outside = outside.snapshot();
    assert_eq!(outside.in_flight, 0);
    let answered = outside.total - outside.cancelled;
    assert_eq!(answered, get(&counted.answered) as u64);
    assert_eq!(outside.attempts, get(&counted.attempts_answered) as u64);
    assert_eq!(outside.failovers, get(&counted.failovers_answered) as u64);

    assert_eq!(handle.waiting(), 0, "seed {seed}");
    enable_all(&handle);
    for name in NAMES {
        let in_flight = crate::support::status_of(&handle, name).in_flight;
        assert_eq!(
            (in_flight, net.running(name)),
            (0, 0),
            "seed {seed}: {name}"
        );
    }
    assert_full_recovery(&net, &balancer, &handle).await;
    requests + attempts + changes
}

/// Checks the bounds on the keys and on the cooldown of each key.
fn assert_bounds(handle: &PoolHandle, seed: u64) {
    let day = Some(Duration::from_secs(86_400));
    for status in handle.status() {
        assert!(status.keys.len() <= 64, "seed {seed}: {status:?}");
        let keys = status.keys.iter().map(|key| &key.limits);
        for limits in keys.chain([&status.limits]) {
            assert!(limits.cooling <= day, "seed {seed}: {limits:?}");
            let has_reason = limits.cooling_reason.is_some();
            assert_eq!(
                has_reason,
                limits.cooling.is_some(),
                "seed {seed}: {limits:?}"
            );
            assert!(!limits.benched || has_reason, "seed {seed}: {limits:?}");
        }
    }
}

fn callers_with_models() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    let callers = ["one", "two", "three"];
    callers
        .into_iter()
        .flat_map(|caller| MODELS.map(|model| (caller, model)))
}

/// A request that allows only this endpoint.
fn request_of(name: &str, caller: &'static str, model: &str) -> http::Request<Body> {
    let mut request = request_only_to(name);
    let caller = http::HeaderValue::from_static(caller);
    request.headers_mut().insert("x-api-key", caller);
    request.extensions_mut().insert(LimitKey::new(model));
    request
}

/// Expects each endpoint to admit as many requests as its limit allows.
async fn assert_full_recovery(
    net: &Net,
    balancer: &(impl Http + Send + 'static),
    handle: &PoolHandle,
) {
    for name in NAMES {
        net.on(name, |_| Reply::from(ok()).after(10 * MS));
    }
    // The longest cooldown, and the time after which its send rate is free again.
    sleep(Duration::from_secs(86_400 + 60)).await;
    for name in NAMES {
        // A success ends a cooldown, and the third consecutive success closes a breaker.
        for n in 0..3 {
            let answer = send(balancer, request_only_to(name)).await;
            assert_eq!(
                answer.expect("the endpoint is healthy").status(),
                200,
                "{name} {n}"
            );
        }
        for (caller, model) in callers_with_models() {
            let answer = send(balancer, request_of(name, caller, model)).await;
            let status = answer.expect("the key is healthy").status();
            assert_eq!(status, 200, "{name} {caller} {model}");
        }
        let start = Instant::now();
        let burst: Vec<_> = (callers_with_models().cycle().take(LIMIT * 10))
            .map(|(caller, model)| request_of(name, caller, model))
            .map(|request| tokio::spawn(balancer.clone().oneshot(request)))
            .collect();
        for request in burst {
            assert_eq!(
                request
                    .await
                    .unwrap()
                    .expect("the endpoint is healthy")
                    .status(),
                200
            );
        }
        assert_eq!(start.elapsed(), 100 * MS, "{name} has lost a slot");
    }
    for status in handle.status() {
        assert!(status.admissible, "{status:?}");
        assert_eq!(status.breaker, BreakerState::Closed, "{status:?}");
        assert_eq!((status.in_flight, status.cooling), (0, None), "{status:?}");
        let mut keys = status.keys.iter();
        assert!(keys.all(|key| key.cooling.is_none()), "{status:?}");
    }
}

/// Runs each seed with each strategy.
#[test]
fn random_outcomes_lose_no_reservation() {
    let run = |strategies: &[Strategy]| {
        paused_runtime().block_on(async {
            let mut steps = 0;
            for seed in 0..5 {
                for strategy in strategies {
                    steps += run_random_requests(seed, *strategy, 2_050).await;
                }
            }
            steps
        })
    };
    let steps = std::thread::scope(|scope| {
        let runs = STRATEGIES
            .chunks(3)
            .map(|part| scope.spawn(move || run(part)));
        let runs: Vec<_> = runs.collect();
        runs.into_iter().map(|it| it.join().unwrap()).sum::<usize>()
    });
    println!("{steps} steps");
    assert!(steps >= 100_000, "{steps} steps");
}
