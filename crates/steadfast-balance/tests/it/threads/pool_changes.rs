//! Changes of the pool from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use steadfast_balance::WhenExhausted;
use tokio_test::{assert_ready, task};
use tower::ServiceExt;

use crate::support::gate::{Gates, gated_balancer};
use crate::support::rules::servers_with_rule;
use crate::support::{SECOND, balancer, endpoint, get, ok, pool};

/// Another thread replaces the endpoints during the selection.
#[test]
fn concurrent_replacement_loses_no_request() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let (service, handle) = balancer(pool(&["a"]), &net);
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
            net.counts(["a", "b"]).iter().sum::<usize>()
        );
    });
    assert!(handle.status().iter().all(|status| status.in_flight == 0));
}

/// A request may have read the endpoints before the drain. It must not be admitted after its end.
#[test]
fn completed_drain_admits_no_request() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
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
        let late = (0..10_000).find(|_| {
            let mut drain = task::spawn(handle.drain("a").unwrap());
            // On a busy machine, a thread with a request waits for its turn.
            while drain.poll().is_pending() {
                std::thread::yield_now();
            }
            let ended = net.count("a");
            // About the time of a request. To yield would take milliseconds on a busy machine.
            for _ in 0..1_000 {
                std::hint::spin_loop();
            }
            let late = net.count("a") - ended;
            handle.enable("a").unwrap();
            late > 0
        });
        stop.store(true, Ordering::Relaxed);
        assert_eq!(late, None);
    });
}

/// A change while a request enters the queue either wakes the request or was seen by it.
#[test]
fn change_during_enqueue_wakes_the_waiter() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for busy in [true, false] {
        for n in 0..500 {
            let net = servers_with_rule(&["a", "b"], |_| ok().into());
            let gates = Gates::default();
            let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
            let (service, handle) = gated_balancer(builder.max_wait(90 * SECOND), &net, &gates);
            if busy {
                gates.set_free_slots("a", 0);
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
                // A barrier would wake one thread much later than the other.
                while !start.load(Ordering::Acquire) {
                    std::thread::yield_now();
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
