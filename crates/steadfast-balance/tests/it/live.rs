//! What changes of the endpoints do to requests that are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use steadfast_balance::{Endpoint, EndpointMode, PoolHandle, Strategy, WhenExhausted};
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{BoxError, BreakerState, Class};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, task};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceExt};

use crate::support::body::Ending;
use crate::support::gate::{Gates, gated};
use crate::support::{
    Answer, MS, Net, Reply, SECOND, Stream, balance, endpoint, exhausted, get, limited, of, ok,
    pool, refused, send, status, streamed,
};

/// Lets all tasks run that can.
async fn settle() {
    sleep(MS).await;
}

fn names(handle: &PoolHandle) -> Vec<String> {
    let all = handle.status();
    all.iter().map(|status| status.name.to_string()).collect()
}

fn servers(names: &[&str], rule: impl Fn(usize) -> Reply + Copy + Send + Sync + 'static) -> Net {
    let net = Net::new();
    for name in names {
        net.on(name, rule);
    }
    net
}

// ===== add, remove, replace =====

/// All the time endpoints come and go, and removed ones still have requests with slow answers and
/// slow bodies.
#[tokio::test(start_paused = true)]
async fn endpoints_are_replaced_under_load_and_nothing_is_lost() {
    const SETS: [&[&str]; 4] = [&["a", "b"], &["b", "c"], &["d"], &["c", "a", "d"]];
    let net = servers(&["a", "b", "c", "d"], |n| {
        let body = Stream::of(["data: ", "ok"]).pace(7 * MS);
        Reply::from(streamed(body)).after(20 * MS + (n as u32 % 5) * MS)
    });
    let (service, handle) = balance(pool(SETS[0]).strategy(Strategy::LeastLoaded), &net);

    let mut requests: Vec<JoinHandle<Result<bytes::Bytes, BoxError>>> = Vec::new();
    let mut drains: Vec<JoinHandle<()>> = Vec::new();
    for n in 0..400 {
        let service = service.clone();
        requests.push(tokio::spawn(async move {
            let response = send(&service, get()).await?;
            Ok(response.into_body().collect().await?.to_bytes())
        }));
        if n % 9 == 8 {
            let next = SETS[(n / 9) % SETS.len()];
            for gone in names(&handle) {
                if !next.contains(&&*gone) {
                    drains.push(tokio::spawn(handle.drain(&gone).unwrap()));
                }
            }
            handle
                .replace(next.iter().map(|name| endpoint(name)))
                .unwrap();
            assert_eq!(names(&handle), next);
        }
        sleep(3 * MS).await;
    }

    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), "data: ok");
    }
    for drain in drains {
        timeout(SECOND, drain)
            .await
            .expect("the removed have nothing in flight")
            .unwrap();
    }
    let sent = net.counts(["a", "b", "c", "d"]);
    assert_eq!(
        sent.iter().sum::<usize>(),
        400,
        "each was sent once: {sent:?}"
    );
    assert!(sent.iter().all(|sent| *sent > 0), "{sent:?}");
    assert!(handle.status().iter().all(|status| status.in_flight == 0));
}

#[tokio::test(start_paused = true)]
async fn what_stays_the_same_keeps_its_state() {
    let net = servers(&["a", "b"], |_| limited("60").into());
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    handle.disable("b").unwrap();

    let moved = Endpoint::new("b", "http://b.test/elsewhere").unwrap();
    handle
        .replace([moved.clone(), endpoint("a").tier(3).weight(2.0)])
        .unwrap();
    let a = of(&handle, "a");
    assert_eq!((a.cooling, a.tier, a.weight), (Some(60 * SECOND), 3, 2.0));
    assert_eq!(
        of(&handle, "b").service,
        EndpointMode::Enabled,
        "it is another one"
    );

    let patient = CircuitBreaker::builder().consecutive_failures(70);
    handle
        .replace([moved.clone(), endpoint("a").breaker(patient)])
        .unwrap();
    assert_eq!(of(&handle, "a").cooling, None, "its breaker is another one");

    let error = handle.replace([moved.clone(), moved]).unwrap_err();
    assert_eq!(error.field(), "endpoint[1].name");
    handle
        .replace([endpoint("c"), endpoint("d").weight(0.0)])
        .unwrap_err();
    assert_eq!(
        names(&handle),
        ["b", "a"],
        "after an error all is as it was"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_removed_is_not_known_any_more() {
    let net = servers(&["a", "b"], |_| ok().into());
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    handle.remove("a").unwrap();
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
    for unknown in [
        handle.remove("a"),
        handle.disable("a"),
        handle.enable("a"),
        handle.set_tier("a", 1),
        handle.set_weight("a", 2.0),
        handle.cool("a", SECOND),
        handle.drain("a").map(drop),
    ] {
        assert_eq!(unknown.unwrap_err().field(), "name");
    }
    assert_eq!(handle.add(endpoint("b")).unwrap_err().field(), "name");
    assert_eq!(
        handle.add(endpoint("c").weight(-1.0)).unwrap_err().field(),
        "weight"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_may_begin_empty() {
    let net = servers(&["a"], |_| ok().into());
    let layer = pool(&[]).build_empty().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());

    assert_eq!(
        exhausted(send(&service, get()).await),
        (Class::Overloaded, None)
    );
    handle.add(endpoint("a")).unwrap();
    assert_eq!(status(&service, get()).await, 200);
    handle.replace([]).unwrap();
    assert_eq!(
        exhausted(send(&service, get()).await),
        (Class::Overloaded, None)
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_are_all_down_at_the_start_are_used_when_they_are_back() {
    let net = servers(&["a", "b"], |_| refused().into());
    let (service, handle) = balance(pool(&["a", "b"]).strategy(Strategy::RoundRobin), &net);
    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 0);
    }
    assert_eq!(net.counts(["a", "b"]), [7, 7], "until the breakers open");
    assert!(handle.status().iter().all(|status| !status.admissible));

    net.on("a", |_| ok());
    net.on("b", |_| ok());
    assert_eq!(status(&service, get()).await, 0, "not before their time");
    sleep(Endpoint::DEFAULT_RECOVERY_TIMEOUT).await;
    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 200);
    }
    assert!(handle.status().iter().all(|status| status.admissible));
}

// ===== disable, enable, tier, weight =====

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_enabled_again_has_the_same_service() {
    let net = servers(&["a", "b"], |_| Reply::never());
    net.on("b", |_| ok());
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let builder = pool(&["a", "b"]).endpoint_layer(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        ConcurrencyLimitLayer::new(1)
    });
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());

    let hanging = tokio::spawn(service.clone().oneshot(get()));
    settle().await;
    handle.disable("a").unwrap();
    assert_eq!(status(&service, get()).await, 200, "b takes it");
    handle.enable("a").unwrap();
    let next = timeout(SECOND, status(&service, get())).await;
    assert_eq!(next, Ok(200), "a is still busy");
    assert_eq!(net.counts(["a", "b"]), [1, 2]);
    assert_eq!(of(&handle, "a").in_flight, 1);
    assert_eq!(made.load(Ordering::Relaxed), 2);

    hanging.abort();
    settle().await;
    net.on("a", |_| ok());
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [2, 2], "the place is free again");
}

#[tokio::test(start_paused = true)]
async fn a_tier_and_a_weight_count_from_the_next_request_on() {
    let net = servers(&["a", "b"], |_| ok().into());
    let (service, handle) = balance(pool(&["a", "b"]).strategy(Strategy::RoundRobin), &net);
    let send = async |times: usize| {
        let before = net.counts(["a", "b"]);
        for _ in 0..times {
            assert_eq!(status(&service, get()).await, 200);
        }
        let after = net.counts(["a", "b"]);
        [after[0] - before[0], after[1] - before[1]]
    };
    assert_eq!(send(4).await, [2, 2]);
    handle.set_tier("a", 1).unwrap();
    assert_eq!(send(1).await, [0, 1]);
    handle.set_tier("b", 2).unwrap();
    assert_eq!(send(1).await, [1, 0]);
    handle.set_tier("b", 1).unwrap();
    handle.set_weight("b", 3.0).unwrap();
    assert_eq!(send(8).await, [2, 6]);
    let b = of(&handle, "b");
    assert_eq!((b.tier, b.weight), (1, 3.0));
    assert_eq!(handle.set_weight("b", 0.0).unwrap_err().field(), "weight");
    assert_eq!(
        handle.set_weight("b", f64::NAN).unwrap_err().field(),
        "weight"
    );
}

// ===== drain =====

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_the_last_body_ends() {
    let net = servers(&["a"], |_| {
        streamed(Stream::of(["1", "2"]).end(Ending::Polled)).into()
    });
    let (service, handle) = balance(pool(&["a"]), &net);
    let mut first = send(&service, get()).await.unwrap().into_body();
    let second = send(&service, get()).await.unwrap().into_body();

    let mut drain = task::spawn(handle.drain("a").unwrap());
    assert_eq!(of(&handle, "a").service, EndpointMode::Draining);
    assert_eq!(
        exhausted(send(&service, get()).await),
        (Class::Overloaded, None)
    );
    assert_pending!(drain.poll());
    drop(second);
    assert_pending!(drain.poll());
    first.frame().await.unwrap().unwrap();
    first.frame().await.unwrap().unwrap();
    assert_pending!(drain.poll());
    assert!(!drain.is_woken());
    assert!(first.frame().await.is_none());
    assert!(drain.is_woken());
    assert_ready!(drain.poll());

    assert_ready!(
        task::spawn(handle.drain("a").unwrap()).poll(),
        "it has nothing to do"
    );
    handle.enable("a").unwrap();
    assert_eq!(status(&service, get()).await, 200);
}

/// Two operators, one of whom gives up. A removal meanwhile takes nothing away from the other.
#[tokio::test(start_paused = true)]
async fn a_drain_that_is_dropped_goes_on_without_a_listener() {
    let net = servers(&["a", "b"], |_| ok().into());
    net.on("a", |_| Reply::from(ok()).after(10 * SECOND));
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    let running = tokio::spawn(service.clone().oneshot(get()));
    settle().await;

    let mut dropped = task::spawn(handle.drain("a").unwrap());
    let drain = tokio::spawn(handle.drain("a").unwrap());
    assert_pending!(dropped.poll());
    drop(dropped);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    handle.remove("a").unwrap();
    settle().await;
    assert!(!drain.is_finished());

    let response = running.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    settle().await;
    assert!(!drain.is_finished(), "its body has not ended");
    drop(response);
    settle().await;
    assert!(drain.is_finished());
}

// ===== those who wait =====

/// A request that waits in the queue for its only endpoint, which cools for a minute.
async fn waiting(names: &[&str], net: &Net) -> (JoinHandle<Answer>, PoolHandle) {
    let builder = pool(names)
        .when_exhausted(WhenExhausted::Wait)
        .max_wait(90 * SECOND);
    let (service, handle) = balance(builder, net);
    for name in names {
        handle.cool(name, 60 * SECOND).unwrap();
    }
    let waits = tokio::spawn(service.oneshot(get()));
    settle().await;
    assert_eq!(handle.waiting(), 1);
    (waits, handle)
}

async fn at_once(waits: JoinHandle<Answer>) -> Answer {
    let answer = timeout(SECOND, waits)
        .await
        .expect("it does not wait any longer");
    answer.unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_endpoint_that_goes_is_told() {
    for how in ["remove", "disable", "drain", "replace"] {
        let net = servers(&["a"], |_| ok().into());
        let (waits, handle) = waiting(&["a"], &net).await;
        match how {
            "remove" => handle.remove("a").unwrap(),
            "disable" => handle.disable("a").unwrap(),
            "drain" => drop(handle.drain("a").unwrap()),
            _ => handle.replace([]).unwrap(),
        }
        assert_eq!(
            exhausted(at_once(waits).await),
            (Class::Overloaded, None),
            "{how}"
        );
        assert_eq!(handle.waiting(), 0);
        assert_eq!(net.count("a"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_to_an_endpoint_that_comes() {
    for how in ["add", "enable", "replace"] {
        let net = servers(&["a", "b"], |_| ok().into());
        let (waits, handle) = waiting(&["a"], &net).await;
        if how == "enable" {
            handle.replace([endpoint("a"), endpoint("b")]).unwrap();
        }
        match how {
            "add" => handle.add(endpoint("b")).unwrap(),
            "enable" => handle.enable("b").unwrap(),
            _ => handle.replace([endpoint("b")]).unwrap(),
        }
        assert_eq!(at_once(waits).await.unwrap().status(), 200, "{how}");
        assert_eq!(net.counts(["a", "b"]), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_two_goes_on_with_the_one_that_stays() {
    let net = servers(&["a", "b"], |_| ok().into());
    let (waits, handle) = waiting(&["a", "b"], &net).await;
    handle.remove("a").unwrap();
    let start = Instant::now();
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!(start.elapsed(), 60 * SECOND - MS);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
}

/// It waits for a place in the service of an endpoint and not in the queue. Nothing that runs
/// there ends, so only the change itself can wake it.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_busy_endpoint_is_told_of_changes() {
    for how in ["remove", "add", "disable", "replace"] {
        let net = servers(&["a", "b"], |_| ok().into());
        let gates = Gates::default();
        let (service, handle) = gated(pool(&["a"]), &net, &gates);
        gates.room("a", 0);
        let waits = tokio::spawn(service.oneshot(get()));
        settle().await;
        assert!(!waits.is_finished());

        match how {
            "remove" => handle.remove("a").unwrap(),
            "add" => handle.add(endpoint("b")).unwrap(),
            "disable" => handle.disable("a").unwrap(),
            _ => handle.replace([endpoint("b")]).unwrap(),
        }
        let answer = at_once(waits).await;
        if matches!(how, "add" | "replace") {
            assert_eq!(answer.unwrap().status(), 200, "{how}");
            assert_eq!(net.count("b"), 1);
        } else {
            assert_eq!(exhausted(answer), (Class::Overloaded, None), "{how}");
        }
        assert_eq!(net.count("a"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_busy_endpoint_is_told_that_another_is_back() {
    let net = servers(&["a", "b"], |_| ok().into());
    let gates = Gates::default();
    let (service, handle) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    handle.cool("b", 600 * SECOND).unwrap();
    let waits = tokio::spawn(service.oneshot(get()));
    settle().await;
    assert!(!waits.is_finished());
    handle.cool("b", Duration::ZERO).unwrap();
    assert_eq!(at_once(waits).await.unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_is_opened_and_closed_by_hand() {
    let net = servers(&["a", "b"], |_| ok().into());
    let gates = Gates::default();
    let (service, handle) = gated(pool(&["a", "b"]), &net, &gates);
    handle.trip("a").unwrap();
    assert_eq!(of(&handle, "a").breaker, BreakerState::Open);
    assert_eq!(status(&service, get()).await, 200);
    // Who waits for a busy service is told that another is back.
    gates.room("b", 0);
    let waits = tokio::spawn(service.oneshot(get()));
    settle().await;
    assert!(!waits.is_finished());
    handle.reset("a").unwrap();
    assert_eq!(at_once(waits).await.unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    for name in ["trip", "reset"] {
        let unknown = match name {
            "trip" => handle.trip("c"),
            _ => handle.reset("c"),
        };
        assert_eq!(unknown.unwrap_err().field(), "name", "{name}");
    }
}

/// The service of a removed endpoint goes once nobody uses it, and not before.
#[tokio::test(start_paused = true)]
async fn the_service_of_a_removed_endpoint_is_let_go() {
    let net = servers(&["a", "b"], |_| ok().into());
    let alive = Arc::new(());
    let held = alive.clone();
    let builder = pool(&["a"]).endpoint_layer(move |_| {
        let held = held.clone();
        tower::util::MapRequestLayer::new(move |request| {
            let _ = &held;
            request
        })
    });
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());
    assert_eq!(status(&service, get()).await, 200);
    let with_one = Arc::strong_count(&alive);
    for n in 0..10 {
        handle
            .replace([endpoint(if n % 2 == 0 { "b" } else { "a" })])
            .unwrap();
        assert_eq!(status(&service, get()).await, 200);
    }
    assert_eq!(Arc::strong_count(&alive), with_one);
}

// ===== several threads =====

/// Between the look at the endpoints and the choice of one, another thread replaces them.
#[test]
fn a_request_that_meets_a_change_gets_its_answer() {
    let net = servers(&["a", "b"], |_| ok().into());
    let (service, handle) = balance(pool(&["a"]), &net);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let requests = || {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut request = task::spawn(service.clone().oneshot(get()));
                assert_eq!(assert_ready!(request.poll()).unwrap().status(), 200);
                sent += 1;
            }
            sent
        };
        let senders = [scope.spawn(requests), scope.spawn(requests)];
        for n in 0..2_000 {
            let set: &[&str] = [&["b"][..], &["b", "a"], &["a"]][n % 3];
            handle
                .replace(set.iter().map(|name| endpoint(name)))
                .unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let sent = senders.map(|sender| sender.join().unwrap());
        assert_eq!(
            sent.iter().sum::<usize>(),
            net.counts(["a", "b"]).iter().sum()
        );
    });
    assert!(handle.status().iter().all(|status| status.in_flight == 0));
}

/// A request that has looked at the endpoints before the drain must not enter after its end.
#[test]
fn nothing_is_sent_after_a_drain_has_ended() {
    let net = servers(&["a", "b"], |_| ok().into());
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut request = task::spawn(service.clone().oneshot(get()));
                    assert_eq!(assert_ready!(request.poll()).unwrap().status(), 200);
                }
            });
        }
        let late = (0..3_000).find(|_| {
            let mut drain = task::spawn(handle.drain("a").unwrap());
            while drain.poll().is_pending() {
                std::hint::spin_loop();
            }
            let ended = net.count("a");
            for _ in 0..20 {
                std::thread::yield_now();
            }
            let late = net.count("a") - ended;
            handle.enable("a").unwrap();
            late > 0
        });
        stop.store(true, Ordering::Relaxed);
        assert_eq!(late, None);
    });
}

/// A change that comes while a request begins to wait wakes it, or was seen by it.
#[test]
fn a_change_is_not_missed_by_who_begins_to_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for busy in [true, false] {
        for n in 0..500 {
            let net = servers(&["a", "b"], |_| ok().into());
            let gates = Gates::default();
            let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
            let (service, handle) = gated(builder.max_wait(90 * SECOND), &net, &gates);
            if busy {
                gates.room("a", 0);
            } else {
                handle.cool("a", 60 * SECOND).unwrap();
            }
            let start = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    let _timers = runtime.enter();
                    let mut request = task::spawn(service.oneshot(get()));
                    start.store(true, Ordering::Release);
                    (0..n % 300).for_each(|_| std::hint::spin_loop());
                    let first = request.poll();
                    (request, first)
                });
                // A barrier would wake one of them much later than the other.
                while !start.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                handle.add(endpoint("b")).unwrap();
                let (mut request, first) = waits.join().unwrap();
                let answer = if let Poll::Ready(answer) = first {
                    answer
                } else {
                    assert!(request.is_woken(), "busy: {busy}");
                    assert_ready!(request.poll())
                };
                assert_eq!(answer.unwrap().status(), 200);
            });
        }
    }
}
