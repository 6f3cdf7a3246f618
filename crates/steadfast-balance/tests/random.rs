//! Many requests with random fates: whatever happens to them, nothing that they reserved is lost.

mod support;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast_balance::{Credential, EndpointBalanceLayer, PoolHandle, Strategy, Wishes};
use steadfast_core::{
    BoxError, BreakerState, Class, Classified, Deadline, Event, Exhausted, Trail, Verdict,
};
use steadfast_retry::{RetryOn429Layer, RetryOverride};
use support::body::Ending;
use support::{
    Body, Events, Http, MS, Net, Reply, SECOND, Stream, answer, endpoint, get, limited, ok,
    refused, reset, send, streamed, with,
};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceExt};

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
    let reply: Reply = match kind {
        1 | 2 => limited(hint).into(),
        3 => answer(429).into(),
        4 => with(ok(), &spent).into(),
        5 if dice.one_in(50) => answer(402).into(),
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
    let mut request = support::request(dice.pick(&["GET", "POST"]));
    let extensions = request.extensions_mut();
    extensions.insert(trail.clone());
    if dice.one_in(4) {
        extensions.insert(RetryOverride::new().safe(dice.one_in(2)));
    }
    if dice.one_in(4) {
        extensions.insert(Deadline::after(dice.millis(5000)));
    }
    if dice.one_in(20) {
        extensions.insert(Wishes::new().only(dice.pick(&NAMES)));
    }
    (request, trail)
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
        _ if dice.one_in(10) => advance(dice.millis(3_000_000)).await,
        _ => advance(dice.millis(5000)).await,
    }
}

/// What the trails of all requests say.
#[derive(Default)]
struct Counted {
    attempts: AtomicUsize,
    failovers: AtomicUsize,
}

async fn caller(service: impl Http, dice: Dice, counted: Arc<Counted>) {
    let (request, trail) = random_request(&dice);
    let answer = live(service, request, &dice).await;
    assert!(trail.len() < NAMES.len() + MAX_ATTEMPTS, "{trail}");
    (counted.attempts).fetch_add(trail.len(), Ordering::Relaxed);
    (counted.failovers).fetch_add(trail.failovers(), Ordering::Relaxed);
    if let Some(answer) = &answer {
        check(answer, &trail);
    }
    if let Some(Ok(response)) = answer {
        read(response.into_body(), &dice).await;
    }
}

// ===== runs =====

async fn run(seed: u64, strategy: Strategy, requests: usize) {
    let dice = Dice(Arc::new(Mutex::new(Rng::with_seed(seed))));
    let moods = Arc::new(Mutex::new([Mood::Well; NAMES.len()]));
    let net = Net::new();
    for (n, name) in NAMES.iter().enumerate() {
        let (moods, dice) = (moods.clone(), dice.clone());
        net.on(name, move |_| reply(moods.lock().unwrap()[n], &dice));
    }
    let endpoints = NAMES.iter().enumerate().map(|(n, name)| {
        endpoint(name)
            .tier(u16::try_from(n / 2).expect("small"))
            .larger_context(n == 3)
            .api_key(Credential::bearer("own").expect("valid"))
    });
    let events = Events::default();
    let layer = EndpointBalanceLayer::builder()
        .endpoints(endpoints)
        .strategy(strategy)
        .abandoned_after(10 * SECOND)
        .observer(events.observer())
        .endpoint_layer(|_| ConcurrencyLimitLayer::new(LIMIT))
        .build()
        .expect("valid");
    let handle = layer.handle();
    let balancer = layer.layer(net.client());
    let service = RetryOn429Layer::new().seed(seed).layer(balancer.clone());

    let counted = Arc::new(Counted::default());
    let mut running = Vec::new();
    for n in 0..requests {
        let caller = caller(service.clone(), dice.clone(), counted.clone());
        running.push(tokio::spawn(caller));
        pass_time(&dice).await;
        if n % 50 == 0 {
            let mood = dice.pick(&[Mood::Well, Mood::Limited, Mood::Broken, Mood::Mixed]);
            moods.lock().unwrap()[dice.below(NAMES.len())] = mood;
        }
    }
    for task in running {
        task.await.expect("no check failed");
    }

    let sent: usize = NAMES.iter().map(|name| net.count(name)).sum();
    let attempts = counted.attempts.load(Ordering::Relaxed);
    assert_eq!(sent, attempts, "seed {seed}: each attempt is noted once");
    assert!(attempts > requests / 2, "seed {seed}: {attempts} attempts");
    let told = events.count(|event| matches!(event, Event::Failover { .. }));
    let failovers = counted.failovers.load(Ordering::Relaxed);
    assert_eq!(told, failovers, "seed {seed}: each move is told once");
    for name in NAMES {
        let in_flight = support::of(&handle, name).in_flight;
        assert_eq!(
            (in_flight, net.running(name)),
            (0, 0),
            "seed {seed}: {name}"
        );
    }
    all_is_well_again(&net, &balancer, &handle).await;
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
        let only = || {
            let mut request = get();
            request.extensions_mut().insert(Wishes::new().only(name));
            request
        };
        // A cooldown ends with a success, and a breaker closes with the third in a row.
        for n in 0..3 {
            let answer = send(balancer, only()).await;
            assert_eq!(answer.expect("it is well").status(), 200, "{name} {n}");
        }
        let start = Instant::now();
        let burst: Vec<_> = (0..LIMIT * 10)
            .map(|_| tokio::spawn(balancer.clone().oneshot(only())))
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

/// Each seed with each strategy, five thousand requests at a time.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_whatever_happens() {
    for seed in 0..4 {
        for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
            run(seed, strategy, 5000).await;
        }
    }
}
