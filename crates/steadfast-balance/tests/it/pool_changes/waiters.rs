//! Waiting requests after a change of the endpoints.

use std::time::Duration;

use steadfast_balance::{PoolHandle, WhenExhausted};
use steadfast_core::Class;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::run_ready_tasks;
use crate::support::gate::{Gates, gated_balancer};
use crate::support::rules::servers_with_rule;
use crate::support::{
    Answer, MS, Net, SECOND, balancer, endpoint, expect_exhausted, get, ok, pool,
};

/// A pool that cools for a minute, and a request that queues there.
async fn cooling_pool_with_waiter(names: &[&str], net: &Net) -> (JoinHandle<Answer>, PoolHandle) {
    let builder = pool(names)
        .when_exhausted(WhenExhausted::Wait)
        .max_wait(90 * SECOND);
    let (service, handle) = balancer(builder, net);
    for name in names {
        handle.cool(name, 60 * SECOND).unwrap();
    }
    let waits = tokio::spawn(service.oneshot(get()));
    run_ready_tasks().await;
    assert_eq!(handle.waiting(), 1);
    (waits, handle)
}

pub(super) async fn answer_within_a_second(waits: JoinHandle<Answer>) -> Answer {
    let answer = timeout(SECOND, waits)
        .await
        .expect("the waiter still waits");
    answer.unwrap()
}

#[tokio::test(start_paused = true)]
async fn waiter_is_rejected_when_its_endpoint_leaves() {
    for how in ["remove", "disable", "drain", "replace"] {
        let net = servers_with_rule(&["a"], |_| ok().into());
        let (waits, handle) = cooling_pool_with_waiter(&["a"], &net).await;
        match how {
            "remove" => handle.remove("a").unwrap(),
            "disable" => handle.disable("a").unwrap(),
            "drain" => drop(handle.drain("a").unwrap()),
            _ => handle.replace([]).unwrap(),
        }
        assert_eq!(
            expect_exhausted(answer_within_a_second(waits).await),
            (Class::Overloaded, None),
            "{how}"
        );
        assert_eq!(handle.waiting(), 0);
        assert_eq!(net.count("a"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_moves_to_new_endpoint() {
    for how in ["add", "enable", "replace"] {
        let net = servers_with_rule(&["a", "b"], |_| ok().into());
        let (waits, handle) = cooling_pool_with_waiter(&["a"], &net).await;
        if how == "enable" {
            handle.replace([endpoint("a"), endpoint("b")]).unwrap();
        }
        match how {
            "add" => handle.add(endpoint("b")).unwrap(),
            "enable" => handle.enable("b").unwrap(),
            _ => handle.replace([endpoint("b")]).unwrap(),
        }
        assert_eq!(
            answer_within_a_second(waits).await.unwrap().status(),
            200,
            "{how}"
        );
        assert_eq!(net.counts(["a", "b"]), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_continues_with_remaining_endpoint() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let (waits, handle) = cooling_pool_with_waiter(&["a", "b"], &net).await;
    handle.remove("a").unwrap();
    let start = Instant::now();
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!(start.elapsed(), 60 * SECOND - MS);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
}

/// The request waits for the readiness of a service, and not in the queue. No attempt at that
/// service ends, so only the change can wake it.
#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_wakes_on_pool_change() {
    for how in ["remove", "add", "disable", "replace"] {
        let net = servers_with_rule(&["a", "b"], |_| ok().into());
        let gates = Gates::default();
        let (service, handle) = gated_balancer(pool(&["a"]), &net, &gates);
        gates.set_free_slots("a", 0);
        let waits = tokio::spawn(service.oneshot(get()));
        run_ready_tasks().await;
        assert!(!waits.is_finished());

        match how {
            "remove" => handle.remove("a").unwrap(),
            "add" => handle.add(endpoint("b")).unwrap(),
            "disable" => handle.disable("a").unwrap(),
            _ => handle.replace([endpoint("b")]).unwrap(),
        }
        let answer = answer_within_a_second(waits).await;
        if matches!(how, "add" | "replace") {
            assert_eq!(answer.unwrap().status(), 200, "{how}");
            assert_eq!(net.count("b"), 1);
        } else {
            assert_eq!(expect_exhausted(answer), (Class::Overloaded, None), "{how}");
        }
        assert_eq!(net.count("a"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_wakes_at_end_of_other_cooldown() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let gates = Gates::default();
    let (service, handle) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.set_free_slots("a", 0);
    handle.cool("b", 600 * SECOND).unwrap();
    let waits = tokio::spawn(service.oneshot(get()));
    run_ready_tasks().await;
    assert!(!waits.is_finished());
    handle.cool("b", Duration::ZERO).unwrap();
    assert_eq!(answer_within_a_second(waits).await.unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
}
