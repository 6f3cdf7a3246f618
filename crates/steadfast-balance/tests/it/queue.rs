//! What a caller sees of the queue: who waits for a turn at a limited endpoint, in which order they
//! are served, and who does not wait.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use http::Request;
use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, PoolHandle};
use steadfast_balance::{ResponseFuture, WhenExhausted};
use steadfast_core::RoutingOptions;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Class, Deadline, Exhausted, Next, Trail};
use steadfast_retry::RetryOn429Layer;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_test::task::Spawn;
use tower::{Layer, Service, ServiceExt};

use crate::support::gate::{Gated, Gates, gated};
use crate::support::{
    Answer, Body, Client, Http, MS, Net, Polls, Reply, SECOND, balance, exhausted, get, get_with,
    limited, of, ok, only, pool, send, status, with, within,
};

type Balancer = EndpointBalance<Client>;
type Waiter = Spawn<ResponseFuture<Client, Body>>;

// ===== limited endpoints =====

/// A server that says that it takes ten a second, and then refuses once for a second.
fn ten_a_second(n: usize) -> Reply {
    let tells = [
        ("x-ratelimit-limit-requests", "10"),
        ("x-ratelimit-remaining-requests", "1"),
        ("x-ratelimit-reset-requests", "900ms"),
    ];
    Reply::from(match n {
        0 => with(ok(), &tells),
        1 => limited("1"),
        _ => ok(),
    })
}

/// A pool whose first endpoint has a learned rate of ten a second, and no turn left.
async fn limited_pool(builder: EndpointBalanceBuilder, net: &Net) -> (Balancer, PoolHandle) {
    net.on("a", ten_a_second);
    let (service, handle) = balance(builder, net);
    use_up(&service, &handle).await;
    (service, handle)
}

async fn use_up(service: &impl Http, handle: &PoolHandle) {
    assert_eq!(status(service, only("a")).await, 200);
    assert_eq!(status(service, only("a")).await, 429);
    advance(SECOND).await;
    while of(handle, "a").admissible {
        assert_eq!(status(service, only("a")).await, 200);
    }
    assert_eq!(of(handle, "a").rate, Some(10.0));
}

/// The request with a name of its own.
fn named(mut request: Request<Body>, n: usize) -> Request<Body> {
    let mut path = String::from("/");
    path.push_str(&n.to_string());
    *request.uri_mut() = path.parse().expect("a path");
    request
}

/// The names of the requests that a server saw, after so many others.
fn seen(net: &Net, name: &str, after: usize) -> Vec<usize> {
    let sent = net.sent(name).into_iter().skip(after);
    sent.map(|sent| sent.uri.path()[1..].parse().expect("a name"))
        .collect()
}

fn spawn(service: &Balancer, request: Request<Body>) -> JoinHandle<Answer> {
    tokio::spawn(service.clone().oneshot(request))
}

/// A request that is polled by hand, and waits.
fn waiter(service: &Balancer, request: Request<Body>) -> Waiter {
    let mut waiter = tokio_test::task::spawn(service.clone().call(request));
    assert!(waiter.poll().is_pending());
    waiter
}

fn served(waiter: &mut Waiter) -> bool {
    match waiter.poll() {
        Poll::Ready(answer) => answer.expect("an answer").status() == 200,
        Poll::Pending => false,
    }
}

// ===== first come, first served =====

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]), &net).await;
    let before = net.count("a");
    let start = Instant::now();
    let mut requests = Vec::new();
    for n in 0..20 {
        requests.push(spawn(&service, named(get(), n)));
        sleep(7 * MS).await;
    }
    assert!(handle.waiting() >= 17, "{}", handle.waiting());
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(seen(&net, "a", before), Vec::from_iter(0..20));
    let took = start.elapsed();
    assert!((1_800 * MS..2_200 * MS).contains(&took), "{took:?}");
    assert_eq!(handle.waiting(), 0);
}

/// A turn that has come belongs to the first in the queue, also before it has looked.
#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]), &net).await;
    let mut first = waiter(&service, get());
    advance(150 * MS).await;
    assert!(first.is_woken());
    assert!(of(&handle, "a").admissible);

    let mut newcomer = waiter(&service, get());
    assert!(served(&mut first));
    assert!(newcomer.is_woken(), "it is the first now");
    assert!(newcomer.poll().is_pending());
    advance(100 * MS).await;
    assert!(newcomer.is_woken() && served(&mut newcomer));
}

/// It had waited for an answer all the time that others waited for a turn.
#[tokio::test(start_paused = true)]
async fn who_comes_back_after_a_refusal_has_the_place_of_its_first_attempt() {
    let net = Net::new();
    net.on("b", |_| Reply::from(limited("60")).after(450 * MS));
    let (service, _) = limited_pool(pool(&["a", "b"]), &net).await;
    let before = net.count("a");
    let retrying = RetryOn429Layer::new().layer(service.clone());

    let mut others = vec![spawn(&service, named(only("a"), 0))];
    sleep(MS).await;
    let request = within(named(get(), 1), 20 * SECOND);
    let came_second = tokio::spawn(retrying.oneshot(request));
    sleep(MS).await;
    others.extend((2..12).map(|n| spawn(&service, named(only("a"), n))));

    let answer = came_second.await.unwrap().expect("an answer");
    assert_eq!((answer.status().as_u16(), net.count("b")), (200, 1));
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    let order = seen(&net, "a", before);
    let place = order.iter().position(|n| *n == 1).expect("served");
    // Those that were served before it was refused could not wait for it.
    assert!((3..=5).contains(&place), "{order:?}");
    let mut rest = order.clone();
    rest.remove(place);
    assert!(rest.is_sorted(), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_passes_its_turn_on_at_once() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]), &net).await;
    let [first, mut second, third] = [(); 3].map(|()| waiter(&service, get()));
    assert_eq!(handle.waiting(), 3);

    // From the middle nobody has to know.
    let fourth = waiter(&service, get());
    drop(third);
    assert!(!second.is_woken() && !fourth.is_woken());
    drop(fourth);

    // The first one has the timer.
    drop(first);
    assert!(second.is_woken() && second.poll().is_pending());
    advance(120 * MS).await;
    assert!(second.is_woken());

    // It was woken, and leaves without a look.
    let mut last = waiter(&service, get());
    drop(second);
    assert!(last.is_woken() && served(&mut last));
    assert_eq!(handle.waiting(), 0);
}

/// One with a wish that cannot be met now is no reason for the others to wait.
#[tokio::test(start_paused = true)]
async fn who_has_no_turn_is_passed_over_and_keeps_its_place() {
    let net = Net::new();
    net.on("b", |_| Reply::from(ok()));
    let builder = pool(&["a", "b"]).when_exhausted(WhenExhausted::Wait);
    let (service, handle) = limited_pool(builder, &net).await;
    let before = net.count("a");
    handle.cool("b", 2 * SECOND).unwrap();
    let wants_b = spawn(&service, named(only("b"), 0));
    sleep(MS).await;
    let others: Vec<_> = (1..15)
        .map(|n| spawn(&service, named(only("a"), n)))
        .collect();
    sleep(MS).await;
    // They would take either, and came later.
    let anywhere: Vec<_> = (20..35).map(|n| spawn(&service, named(get(), n))).collect();
    sleep(1_990 * MS).await;
    assert_eq!(net.count("b"), 0);
    let served = seen(&net, "a", before);
    assert!(served.len() >= 14, "{served:?} were held up");
    assert!(served.is_sorted(), "{served:?}");

    sleep(10 * MS).await;
    assert_eq!(seen(&net, "b", 0)[0], 0, "it was there first");
    for request in others.into_iter().chain(anywhere).chain([wants_b]) {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
}

/// A large request that waits elsewhere for its turn has no claim to an endpoint which has too few
/// tokens for it, and enough for others.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_for_an_endpoint_keeps_nobody_away_from_it() {
    let net = Net::new();
    let tells = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "100"),
        ("x-ratelimit-reset-tokens", "60s"),
    ];
    net.on("b", move |_| with(ok(), &tells));
    let (service, handle) = limited_pool(pool(&["a", "b"]), &net).await;
    assert_eq!(status(&service, only("b")).await, 200);

    let mut large = get();
    let wishes = RoutingOptions::new().estimated_tokens(500);
    large.extensions_mut().insert(wishes);
    let mut large = waiter(&service, large);
    assert_eq!(handle.waiting(), 1);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.count("b"), 2);

    advance(120 * MS).await;
    assert!(large.is_woken() && served(&mut large));
    assert_eq!(net.count("b"), 2);
}

// ===== who does not wait =====

#[tokio::test(start_paused = true)]
async fn who_cannot_be_served_in_time_is_refused_on_arrival() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]).max_wait(Duration::ZERO), &net).await;
    let (class, turn) = exhausted(send(&service, get()).await);
    assert_eq!(class, Class::RateLimited);
    let turn = turn.expect("it has a rate");
    assert!(!turn.is_zero() && turn <= 110 * MS, "{turn:?}");
    assert_eq!(handle.waiting(), 0);

    let (service, handle) = limited_pool(pool(&["a"]), &Net::new()).await;
    // A refusal takes up to 50 ms to come, as far as is known, and an answer the same.
    let too_soon = turn + 48 * MS;
    let trail = Trail::new();
    let start = Instant::now();
    let answer = send(&service, within(get_with(&trail), too_soon)).await;
    let (class, retry_in) = exhausted(answer);
    assert_eq!((class, retry_in), (Class::RateLimited, Some(turn)));
    assert_eq!(trail.take_next(), Some(Next::Never));
    assert!(trail.is_empty(), "nobody was asked");
    assert_eq!((start.elapsed(), handle.waiting()), (Duration::ZERO, 0));

    let soon_enough = turn + 60 * MS;
    let answer = send(&service, within(get(), soon_enough)).await;
    assert_eq!(answer.expect("it waited").status(), 200);
}

/// A server that counts: so many a second, and as many at once.
fn counting(per_second: f64) -> impl Fn(usize) -> Reply + Send + Sync + 'static {
    let bucket = Mutex::new((per_second, Instant::now()));
    move |_| {
        let mut bucket = bucket.lock().unwrap();
        let now = Instant::now();
        let gained = per_second * now.duration_since(bucket.1).as_secs_f64();
        *bucket = (f64::min(bucket.0 + gained, per_second), now);
        if bucket.0 < 1.0 {
            return Reply::from(limited("1")).after(5 * MS);
        }
        bucket.0 -= 1.0;
        Reply::from(ok()).after(20 * MS)
    }
}

/// Sends more to `a` than it takes, until its rate is known for sure.
async fn learn_rate(service: &Balancer, handle: &PoolHandle, name: &str) {
    for _ in 0..3_000 {
        let request = within(only(name), 200 * MS);
        tokio::spawn(service.clone().oneshot(request));
        sleep(10 * MS).await;
    }
    sleep(SECOND).await;
    while of(handle, name).admissible {
        spawn(service, only(name));
        sleep(MS / 10).await;
    }
    let rate = of(handle, name).rate.expect("limited");
    assert!((17.0..=23.0).contains(&rate), "{rate}");
    assert_eq!(handle.waiting(), 0);
}

/// Without this, each waited for all of its time, and all but the first few in vain.
#[tokio::test(start_paused = true)]
async fn who_comes_behind_too_many_others_is_refused_on_arrival() {
    let net = Net::new();
    net.on("a", counting(20.0));
    let (service, handle) = balance(pool(&["a"]), &net);
    learn_rate(&service, &handle, "a").await;

    let crowd: Vec<_> = (0..60).map(|_| spawn(&service, get())).collect();
    sleep(MS).await;
    assert_eq!(handle.waiting(), 60);
    let start = Instant::now();
    let polls = Polls::default();
    for _ in 0..10 {
        let request = within(get(), 2 * SECOND);
        let answer = polls.count(service.clone().oneshot(request)).await;
        assert_eq!(exhausted(answer).0, Class::RateLimited);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((polls.get(), handle.waiting()), (10, 60));
    // They come to the end of the queue, and it is not that long.
    let patient = spawn(&service, within(get(), 6 * SECOND));
    assert_eq!(patient.await.unwrap().unwrap().status(), 200);
    for request in crowd {
        let _ = request.await.unwrap();
    }
    assert_eq!(handle.waiting(), 0);
}

/// Its place is before them.
#[tokio::test(start_paused = true)]
async fn who_comes_back_is_not_refused_for_those_who_came_after_it() {
    let net = Net::new();
    net.on("a", counting(20.0));
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    net.on("b", |_| Reply::from(limited("60")).after(500 * MS));
    learn_rate(&service, &handle, "a").await;
    let trail = Trail::new();
    let mut request = get_with(&trail);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().only("b"));
    let first = spawn(&service, request);
    sleep(MS).await;
    let crowd: Vec<_> = (0..100).map(|_| spawn(&service, only("a"))).collect();
    assert_eq!(first.await.unwrap().unwrap().status(), 429);
    assert!(handle.waiting() >= 80, "{}", handle.waiting());

    let start = Instant::now();
    let answer = send(&service, within(get_with(&trail), SECOND)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(start.elapsed() <= 200 * MS, "{:?}", start.elapsed());
    crowd.iter().for_each(JoinHandle::abort);
}

/// Those who wait for one endpoint are in nobody's way at another.
#[tokio::test(start_paused = true)]
async fn a_crowd_at_one_endpoint_makes_no_wait_at_another() {
    let net = Net::new();
    net.on("a", counting(20.0));
    net.on("b", counting(20.0));
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    learn_rate(&service, &handle, "a").await;
    learn_rate(&service, &handle, "b").await;

    let crowd: Vec<_> = (0..200).map(|_| spawn(&service, only("a"))).collect();
    sleep(MS).await;
    assert!(handle.waiting() >= 150, "{}", handle.waiting());
    let start = Instant::now();
    let answer = send(&service, within(only("b"), SECOND)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(start.elapsed() <= 120 * MS, "{:?}", start.elapsed());
    for request in crowd {
        let _ = request.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_time_to_wait_nobody_waits() {
    for when in [
        WhenExhausted::Fail,
        WhenExhausted::Wait,
        WhenExhausted::LeastBad,
    ] {
        let net = Net::new();
        let builder = pool(&["a"]).max_wait(Duration::ZERO).when_exhausted(when);
        let (service, handle) = limited_pool(builder, &net).await;
        let start = Instant::now();
        for request in [get(), within(get(), 20 * SECOND)] {
            let (class, _) = exhausted(send(&service, request).await);
            assert_eq!(class, Class::RateLimited, "{when:?}");
        }
        assert_eq!((start.elapsed(), handle.waiting()), (Duration::ZERO, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gives_up_when_its_time_is_over() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]).max_wait(250 * MS), &net).await;
    let start = Instant::now();
    let crowd: Vec<_> = (0..10).map(|_| spawn(&service, get())).collect();
    let mut refused = 0;
    for request in crowd {
        match request.await.unwrap() {
            Ok(response) => assert_eq!(response.status(), 200),
            Err(error) => {
                let exhausted = Exhausted::find(&*error).expect("typed");
                assert_eq!(exhausted.verdict().class(), Class::RateLimited);
                assert_eq!(start.elapsed(), 250 * MS);
                refused += 1;
            }
        }
    }
    assert_eq!((refused, handle.waiting()), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn no_deadline_is_too_far_away_to_wait_for() {
    for when in [WhenExhausted::Fail, WhenExhausted::Wait] {
        let net = Net::new();
        let builder = pool(&["a"]).max_wait(Duration::MAX).when_exhausted(when);
        let (service, handle) = limited_pool(builder, &net).await;
        let in_vain = send(&service, within(get(), MS)).await;
        assert_eq!(exhausted(in_vain).0, Class::RateLimited);
        let far = Instant::now() + Duration::from_secs(1 << 62);
        let mut last = get();
        last.extensions_mut().insert(Deadline::at(far));
        for request in [get(), within(get(), Duration::MAX), last] {
            assert_eq!(status(&service, request).await, 200, "{when:?}");
        }
        assert_eq!(handle.waiting(), 0);
    }
}

// ===== futures that nobody polls =====

/// A future may be held and not polled, as by a task that does something else first. All who came
/// later waited for it, and for as long as they could.
#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_look_holds_nobody_up_for_longer_than_the_grace() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]), &net).await;
    let start = Instant::now();
    let mut held = waiter(&service, get());
    let others: Vec<_> = (0..5).map(|_| spawn(&service, get())).collect();
    sleep(MS).await;
    let late = tokio::spawn({
        let service = service.clone();
        async move {
            sleep(350 * MS).await;
            status(&service, get()).await
        }
    });
    for (n, other) in (0..).zip(others) {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
        // Its turn, the grace, and the turns of those before.
        let most = (210 + n * 100) * MS + 5 * MS;
        assert!(start.elapsed() <= most, "{n}: {:?}", start.elapsed());
    }
    assert_eq!(late.await.unwrap(), 200);
    assert_eq!(handle.waiting(), 1);
    // It is still the first when it looks.
    advance(120 * MS).await;
    assert!(served(&mut held));
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn several_that_do_not_look_hold_nobody_up_either() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a"]), &net).await;
    let held = [(); 4].map(|()| waiter(&service, get()));
    let start = Instant::now();
    // Those who come later see to it that time passes.
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(spawn(&service, get()));
        sleep(150 * MS).await;
    }
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    assert!(start.elapsed() <= 3_500 * MS, "{:?}", start.elapsed());
    assert_eq!(handle.waiting(), held.len());
    drop(held);
    assert_eq!(handle.waiting(), 0);
}

/// Its service has a queue of its own, and this one is not for it.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_busy_service_holds_nobody_up() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, handle) = limited_gate(&net, &gates).await;
    gates.room("a", 0);
    let mut held = tokio_test::task::spawn(service.clone().call(get()));
    assert!(held.poll().is_pending());
    advance(SECOND).await;
    assert!(held.poll().is_pending(), "it is its turn, and all are busy");
    gates.room("a", 5);
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(status(&service, get()).await, 200);
    }
    assert!(start.elapsed() <= SECOND, "{:?}", start.elapsed());
    drop(held);
    assert_eq!((handle.waiting(), gates.free("a")), (0, 5));
}

/// On arrival that is an error, too.
#[tokio::test(start_paused = true)]
async fn who_loses_the_endpoint_that_it_waited_for_is_told_so_and_holds_nobody_up() {
    let (net, gates) = (Net::new(), Gates::default());
    let (service, handle) = limited_gate(&net, &gates).await;
    let start = Instant::now();
    let waiters = [(); 2].map(|()| tokio::spawn(service.clone().oneshot(get())));
    sleep(MS).await;
    gates.fail("a", 1);
    let [first, second] = waiters;
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    assert!(start.elapsed() <= SECOND / 2, "{:?}", start.elapsed());
    assert_eq!(handle.waiting(), 0);
}

/// An endpoint with a learned rate of ten a second and no turn left, whose service has a gate.
async fn limited_gate(net: &Net, gates: &Gates) -> (EndpointBalance<Gated<Client>>, PoolHandle) {
    net.on("a", ten_a_second);
    let (service, handle) = gated(pool(&["a"]), net, gates);
    use_up(&service, &handle).await;
    (service, handle)
}

// ===== what waiting costs =====

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_are_woken_a_few_times_each() {
    let net = Net::new();
    let builder = pool(&["a"]).max_wait(1_000 * SECOND);
    let (service, handle) = limited_pool(builder, &net).await;
    let polls = Polls::default();
    let start = Instant::now();
    let crowd: Vec<_> = (0..1_000)
        .map(|_| {
            let future = service.clone().oneshot(get());
            tokio::spawn(polls.count(future))
        })
        .collect();
    sleep(50 * MS).await;
    assert_eq!((handle.waiting(), polls.get()), (1_000, 1_000));
    sleep(SECOND).await;
    let served = 1_000 - handle.waiting();
    assert!(served >= 8, "{served}");
    // Only those at the head are woken, and not the crowd behind them.
    let woken = polls.get() - 1_000;
    assert!(woken <= 6 * served, "{woken} polls for {served}");

    for request in crowd {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert!(start.elapsed() > 10 * SECOND, "{:?}", start.elapsed());
    assert!(polls.get() <= 7 * 1_000, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// Of those who need as much, one is woken when it may be there.
#[tokio::test(start_paused = true)]
async fn a_hundred_who_lack_tokens_are_woken_a_few_times_each() {
    let net = Net::new();
    let tells = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "100"),
        ("x-ratelimit-reset-tokens", "9s"),
    ];
    net.on("a", move |n| if n == 0 { with(ok(), &tells) } else { ok() });
    let builder = pool(&["a"])
        .max_wait(1_000 * SECOND)
        .when_exhausted(WhenExhausted::Wait);
    let (service, handle) = balance(builder, &net);
    assert_eq!(status(&service, get()).await, 200);
    let (polls, start) = (Polls::default(), Instant::now());
    let crowd: Vec<_> = (0..100)
        .map(|n| {
            let wishes = RoutingOptions::new().estimated_tokens(400 + n % 3);
            let future = service.clone().oneshot(crate::support::wishing(wishes));
            tokio::spawn(polls.count(future))
        })
        .collect();
    for request in crowd {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // A hundred come back each second.
    let took = start.elapsed();
    assert!(took > 390 * SECOND && took < 410 * SECOND, "{took:?}");
    assert!(polls.get() <= 7 * 100, "{} polls", polls.get());
    assert_eq!(handle.waiting(), 0);
}

/// The same as answers come back, each of which may have brought a turn.
#[tokio::test(start_paused = true)]
async fn answers_do_not_wake_those_behind_the_head() {
    let net = Net::new();
    let (service, handle) = limited_pool(pool(&["a", "b"]), &net).await;
    net.on("b", |_| Reply::from(ok()).after(MS));
    let polls = Polls::default();
    for _ in 0..100 {
        let future = service.clone().oneshot(only("a"));
        tokio::spawn(polls.count(future));
    }
    sleep(MS).await;
    assert_eq!((handle.waiting(), polls.get()), (100, 100));
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(status(&service, only("b")).await, 200);
    }
    assert!(start.elapsed() < 110 * MS, "{:?}", start.elapsed());
    assert!(polls.get() <= 110, "{} polls", polls.get());
}

// ===== a queue that is too long =====

/// Sends `per_second` for so long, each with 4 s to wait, and returns how long those waited who
/// were served in the last five seconds.
async fn load(service: &Balancer, per_second: u32, lasts: Duration) -> Vec<Duration> {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    while start.elapsed() < lasts {
        let (service, waits) = (service.clone(), waits.clone());
        tokio::spawn(async move {
            let came = Instant::now();
            if status(&service, get()).await == 200 {
                waits.lock().unwrap().push((came, came.elapsed()));
            }
        });
        sleep(SECOND / per_second).await;
    }
    sleep(10 * SECOND).await;
    let last = start + lasts - 5 * SECOND;
    let waits = waits.lock().unwrap();
    let late = waits.iter().filter(|(came, _)| *came >= last);
    late.map(|(_, wait)| *wait).collect()
}

fn longest(waits: &[Duration]) -> Duration {
    waits.iter().max().copied().unwrap_or_default()
}

/// A queue that is full all the time serves nobody more, and everybody late.
#[tokio::test(start_paused = true)]
async fn overload_that_lasts_shortens_the_queue_and_a_burst_does_not() {
    let net = Net::new();
    net.on("a", counting(20.0));
    let (service, handle) = balance(pool(&["a"]).max_wait(4 * SECOND), &net);
    learn_rate(&service, &handle, "a").await;

    let burst = longest(&load(&service, 40, 15 * SECOND).await);
    assert!(burst >= 3 * SECOND, "{burst:?}: it was no burst");
    assert_eq!(handle.waiting(), 0);

    let standing = load(&service, 40, 60 * SECOND).await;
    let most = longest(&standing);
    assert!(most <= 1_500 * MS, "{most:?} after a minute of overload");
    assert!(standing.len() >= 70, "{} were served", standing.len());
    assert_eq!(handle.waiting(), 0);

    // It is forgotten.
    let burst = longest(&load(&service, 40, 15 * SECOND).await);
    assert!(burst >= 3 * SECOND, "{burst:?}");
}

// ===== nothing is left =====

#[tokio::test(start_paused = true)]
async fn the_queue_is_empty_when_all_have_left_whatever_happened() {
    let net = Net::new();
    net.on("b", |_| Reply::from(ok()));
    let (service, handle) = limited_pool(pool(&["a", "b"]), &net).await;
    // Their endpoint is gone.
    let orphans: Vec<_> = (0..5).map(|_| spawn(&service, only("a"))).collect();
    sleep(MS).await;
    assert_eq!(handle.waiting(), 5);
    handle.remove("a").unwrap();
    for orphan in orphans {
        let (class, retry_in) = exhausted(orphan.await.unwrap());
        assert_eq!((class, retry_in), (Class::Overloaded, None));
    }
    assert_eq!(handle.waiting(), 0);

    // Their endpoint begins to cool, and they go on.
    let (service, handle) = limited_pool(pool(&["a", "b"]), &Net::new()).await;
    let patient: Vec<_> = (0..5).map(|_| spawn(&service, only("a"))).collect();
    sleep(MS).await;
    handle.cool("a", 5 * SECOND).unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(handle.waiting(), 5);
    for request in patient {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    // Or they do not, and leave.
    let leaving = timeout(
        30 * MS,
        futures_all((0..5).map(|_| spawn(&service, only("a")))),
    );
    assert!(leaving.await.is_err());
    sleep(MS).await;
    assert_eq!(handle.waiting(), 0);
}

/// Aborts those that are left when it is dropped.
async fn futures_all(tasks: impl Iterator<Item = JoinHandle<Answer>>) {
    struct Abort(Vec<JoinHandle<Answer>>);
    impl Drop for Abort {
        fn drop(&mut self) {
            self.0.iter().for_each(JoinHandle::abort);
        }
    }
    let mut all = Abort(tasks.collect());
    for task in &mut all.0 {
        let _ = task.await;
    }
}
