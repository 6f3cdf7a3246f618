//! Many requests with random fates: whatever happens to them, nothing that they reserved is lost.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast_balance::{
    Credential, Endpoint, EndpointBalanceLayer, EndpointMode, PoolHandle, Strategy, WhenExhausted,
};
use steadfast_core::RoutingOptions;
use steadfast_core::{
    BoxError, BreakerState, Class, Classified, Deadline, Event, Exhausted, Trail, Verdict,
};
use steadfast_metrics::{MetricsLayer, Snapshot};
use steadfast_retry::{RetryOn429Layer, RetryOverride};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::support::body::Ending;
use crate::support::{
    Body, Events, Http, MS, Net, Reply, SECOND, STRATEGIES, Stream, answer, endpoint, limited, ok,
    only, refused, reset, send, streamed, with,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const LIMIT: usize = 3;
const MAX_ATTEMPTS: usize = 3;

/// Random numbers for all who take part, in the order in which they ask.
#[derive(Clone)]
struct Dice(Arc<Mutex<Rng>>);

impl Dice {
    fn below(&self, end: usize) -> usize {
        self.0.lock().unwrap().usize(..end)
    }

    fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn millis(&self, end: u32) -> Duration {
        MS * self.0.lock().unwrap().u32(1..end)
    }
}

// ===== servers =====

/// What a server does at the time, which changes.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Limited,
    Broken,
    Mixed,
}

fn reply(mood: Mood, dice: &Dice) -> Reply {
    let kind = match mood {
        Mood::Well => 0,
        Mood::Limited => 1 + dice.below(5),
        Mood::Broken => 6 + dice.below(6),
        Mood::Mixed => dice.below(16),
    };
    let hint = dice.pick(&["0", "0.001", "0.1", "1", "10"]);
    let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", hint)];
    let left = dice.pick(&["1", "50", "500", "1000"]);
    let tokens = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", left),
        ("x-ratelimit-reset-tokens", "3s"),
    ];
    let reply: Reply = match kind {
        1 | 2 => limited(hint).into(),
        3 => answer(429).into(),
        4 => with(ok(), &spent).into(),
        5 if dice.one_in(100) => answer(402).into(),
        5 => answer(dice.pick(&[401, 403, 403, 403])).into(),
        6 => refused().into(),
        7 => reset().into(),
        8 => answer(dice.pick(&[500, 502, 504])).into(),
        9 => with(answer(503), &[("retry-after", hint)]).into(),
        10 => return Reply::never(),
        11 => streamed(Stream::of(["data"]).broken(said_in_the_stream(dice))).into(),
        12 => answer(dice.pick(&[400, 404, 413])).into(),
        13 => streamed(Stream::of(["data", "more"]).pace(dice.millis(500))).into(),
        14 => streamed(Stream::of(["data"]).end(Ending::Never)).into(),
        _ if dice.one_in(4) => with(ok(), &tokens).into(),
        _ => ok().into(),
    };
    match dice.below(4) {
        0 => reply,
        1 => reply.after(dice.millis(20)),
        _ => reply.after(dice.millis(2000)),
    }
}

fn said_in_the_stream(dice: &Dice) -> BoxError {
    let class = dice.pick(&[Class::Transport, Class::RateLimited, Class::Overloaded]);
    let hint = dice.one_in(2).then_some(SECOND);
    Classified::new(Verdict::new(class).with_hint(hint), "said in the stream").into()
}

// ===== callers =====

fn random_request(dice: &Dice) -> (Request<Body>, Trail) {
    let trail = Trail::new();
    let mut request = crate::support::request(dice.pick(&["GET", "POST"]));
    let extensions = request.extensions_mut();
    extensions.insert(trail.clone());
    if dice.one_in(4) {
        extensions.insert(RetryOverride::new().safe(dice.one_in(2)));
    }
    if dice.one_in(4) {
        extensions.insert(Deadline::after(dice.millis(5000)));
    }
    if dice.one_in(4) {
        extensions.insert(random_wishes(dice));
    }
    (request, trail)
}

fn random_wishes(dice: &Dice) -> RoutingOptions {
    let (wishes, name) = (RoutingOptions::new(), dice.pick(&NAMES));
    match dice.below(6) {
        0 => wishes.only(name),
        1 => wishes.only(name).only(dice.pick(&NAMES)).prefer(name),
        2 => wishes.exclude(name).exclude(dice.pick(&NAMES)),
        3 => wishes.prefer(name).exclude(dice.pick(&NAMES)),
        4 => wishes.affinity_key([dice.below(20) as u8]),
        _ => wishes.estimated_tokens(dice.pick(&[1, 100, 900, 2000])),
    }
}

/// Sends a request and waits for its answer, or leaves before.
async fn live<S: Http>(
    service: S,
    request: Request<Body>,
    dice: &Dice,
) -> Option<Result<Response<S::ResBody>, BoxError>> {
    let mut future = pin!(service.oneshot(request));
    match dice.below(10) {
        // After so many polls, of which the first find it at each of its awaits.
        0 | 1 => {
            for _ in 0..dice.below(4) {
                if let Poll::Ready(answer) = poll_once(future.as_mut()).await {
                    return Some(answer);
                }
                yield_now().await;
            }
            None
        }
        2 | 3 => timeout(dice.millis(3000), future).await.ok(),
        // Some answers never come.
        _ => timeout(20 * SECOND, future).await.ok(),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Reads a body to its end, or leaves it half-way, or keeps it for a while.
async fn read(mut body: impl http_body::Body + Unpin, dice: &Dice) {
    match dice.below(4) {
        0 => {}
        1 => sleep(dice.millis(5000)).await,
        2 => drop(timeout(SECOND, body.frame()).await),
        _ => drop(timeout(20 * SECOND, body.collect()).await),
    }
}

/// What every caller may rely on.
fn check<B>(answer: &Result<Response<B>, BoxError>, trail: &Trail) {
    match answer {
        Ok(response) => {
            let told = Trail::of(response.extensions()).map(Trail::len);
            assert_eq!(told, (trail.len() > 1).then_some(trail.len()));
        }
        Err(_) if trail.len() == 1 => {}
        Err(error) => {
            let exhausted = Exhausted::find(&**error).expect("typed");
            assert_eq!(exhausted.trail().len(), trail.len());
        }
    }
}

/// Mostly a few milliseconds, at times a jump.
async fn pass_time(dice: &Dice) {
    match dice.below(20) {
        0..10 => {}
        10..19 => sleep(dice.millis(300)).await,
        _ if dice.one_in(3) => advance(dice.millis(3_000_000)).await,
        _ => advance(dice.millis(5000)).await,
    }
}

/// What the trails of all requests say.
#[derive(Default)]
struct Counted {
    attempts: AtomicUsize,
    failovers: AtomicUsize,
    /// Of requests that were answered.
    answered: AtomicUsize,
    attempts_answered: AtomicUsize,
    failovers_answered: AtomicUsize,
}

async fn caller(service: impl Http, dice: Dice, counted: Arc<Counted>) {
    let (request, trail) = random_request(&dice);
    let answer = live(service, request, &dice).await;
    assert!(trail.len() < NAMES.len() + MAX_ATTEMPTS, "{trail}");
    (counted.attempts).fetch_add(trail.len(), Ordering::Relaxed);
    (counted.failovers).fetch_add(trail.failovers(), Ordering::Relaxed);
    if let Some(answer) = &answer {
        check(answer, &trail);
        (counted.answered).fetch_add(1, Ordering::Relaxed);
        (counted.attempts_answered).fetch_add(trail.len(), Ordering::Relaxed);
        (counted.failovers_answered).fetch_add(trail.failovers(), Ordering::Relaxed);
    }
    if let Some(Ok(response)) = answer {
        read(response.into_body(), &dice).await;
    }
}

// ===== operators =====

fn random_endpoint(n: usize) -> Endpoint {
    endpoint(NAMES[n])
        .tier(u16::try_from(n / 2).expect("small"))
        .larger_context(n == 3)
        .api_key(Credential::bearer("own").expect("valid"))
}

/// Changes something while requests run. What is not there cannot be changed.
async fn change(handle: &PoolHandle, dice: &Dice) {
    let n = dice.below(NAMES.len());
    let name = NAMES[n];
    let _ = match dice.below(12) {
        0 | 1 => handle.set_weight(name, dice.pick(&[0.1, 1.0, 5.0])),
        2 | 3 => handle.set_tier(name, dice.pick(&[0, 1, 2])),
        4 => handle.disable(name),
        5 => handle.drain(name).map(drop),
        6 => handle.remove(name),
        7 => handle.cool(name, dice.pick(&[Duration::ZERO, 10 * MS, SECOND])),
        8 | 9 => handle.enable(name),
        _ => handle.add(random_endpoint(n)),
    };
}

fn all_in_service(handle: &PoolHandle) {
    for (n, name) in NAMES.iter().enumerate() {
        let status = handle.status().into_iter().find(|one| one.name == *name);
        match status.map(|status| status.service) {
            None => handle.add(random_endpoint(n)).expect("valid"),
            Some(EndpointMode::Enabled) => {}
            Some(_) => handle.enable(name).expect("it is there"),
        }
    }
}

// ===== runs =====

/// The numbers that each endpoint's own layer has counted, also those of one that was removed.
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

/// Returns how many steps it was: requests, attempts, and changes of the endpoints.
async fn run(seed: u64, strategy: Strategy, requests: usize) -> usize {
    let dice = Dice(Arc::new(Mutex::new(Rng::with_seed(seed))));
    let moods = Arc::new(Mutex::new([Mood::Well; NAMES.len()]));
    let net = Net::new();
    for (n, name) in NAMES.iter().enumerate() {
        let (moods, dice) = (moods.clone(), dice.clone());
        net.on(name, move |_| reply(moods.lock().unwrap()[n], &dice));
    }
    let events = Events::default();
    let meters = Meters::default();
    let layer = EndpointBalanceLayer::builder()
        .endpoints((0..NAMES.len()).map(random_endpoint))
        .strategy(strategy)
        .seed(seed)
        .abandoned_after(10 * SECOND)
        .when_exhausted(dice.pick(&[
            WhenExhausted::Fail,
            WhenExhausted::Wait,
            WhenExhausted::LeastBad,
        ]))
        .max_wait(dice.pick(&[Duration::ZERO, SECOND, 5 * SECOND]))
        .prefer_wait_below(dice.pick(&[Duration::ZERO, 200 * MS]))
        .quick_retry(dice.one_in(2))
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
        let caller = caller(service.clone(), dice.clone(), counted.clone());
        running.push(tokio::spawn(caller));
        pass_time(&dice).await;
        if n % 50 == 0 {
            let mood = dice.pick(&[
                Mood::Well,
                Mood::Well,
                Mood::Limited,
                Mood::Broken,
                Mood::Mixed,
            ]);
            moods.lock().unwrap()[dice.below(NAMES.len())] = mood;
        }
        if dice.one_in(30) {
            change(&handle, &dice).await;
            changes += 1;
        }
    }
    for task in running {
        task.await.expect("no check failed");
    }

    let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let sent: usize = NAMES.iter().map(|name| net.count(name)).sum();
    let attempts = get(&counted.attempts);
    assert_eq!(sent, attempts, "seed {seed}: each attempt is noted once");
    assert!(attempts > requests / 5, "seed {seed}: {attempts} attempts");
    let told = events.count(|event| matches!(event, Event::Failover { .. }));
    let failovers = get(&counted.failovers);
    assert_eq!(told, failovers, "seed {seed}: each move is told once");
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
    all_in_service(&handle);
    for name in NAMES {
        let in_flight = crate::support::of(&handle, name).in_flight;
        assert_eq!(
            (in_flight, net.running(name)),
            (0, 0),
            "seed {seed}: {name}"
        );
    }
    all_is_well_again(&net, &balancer, &handle).await;
    requests + attempts + changes
}

/// Each endpoint takes all that its limit lets through.
async fn all_is_well_again(
    net: &Net,
    balancer: &(impl Http + Send + 'static),
    handle: &PoolHandle,
) {
    for name in NAMES {
        net.on(name, |_| Reply::from(ok()).after(10 * MS));
    }
    sleep(Duration::from_secs(86_400)).await;
    for name in NAMES {
        // A cooldown ends with a success, and a breaker closes with the third in a row.
        for n in 0..3 {
            let answer = send(balancer, only(name)).await;
            assert_eq!(answer.expect("it is well").status(), 200, "{name} {n}");
        }
        let start = Instant::now();
        let burst: Vec<_> = (0..LIMIT * 10)
            .map(|_| tokio::spawn(balancer.clone().oneshot(only(name))))
            .collect();
        for request in burst {
            assert_eq!(request.await.unwrap().expect("it is well").status(), 200);
        }
        assert_eq!(start.elapsed(), 100 * MS, "{name} has lost a place");
    }
    for status in handle.status() {
        assert!(status.admissible, "{status:?}");
        assert_eq!(status.breaker, BreakerState::Closed, "{status:?}");
        assert_eq!((status.in_flight, status.cooling), (0, None), "{status:?}");
    }
}

/// Each seed with each strategy, and all else at random.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_whatever_happens() {
    let mut steps = 0;
    for seed in 0..5 {
        for strategy in STRATEGIES {
            steps += run(seed, strategy, 2_200).await;
        }
    }
    assert!(steps >= 100_000, "{steps} steps");
}
