//! The contract checker: each violation, and each count.

use std::convert::Infallible;
use std::future::pending;
use std::task::Poll;

use steadfast_testkit::{Contract, Report};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Service, ServiceExt, service_fn};

use crate::support::scripted::{Scripted, another, checked, poll_ready, scripted};

// ===== broken promises =====

#[test]
#[should_panic(expected = "not polled ready itself")]
fn call_without_readiness_panics() {
    drop(checked().call(true));
}

#[test]
#[should_panic(expected = "not polled ready itself")]
fn second_call_on_one_readiness_panics() {
    let mut service = checked();
    assert_ready_ok!(poll_ready(&mut service));
    drop(service.call(true));
    drop(service.call(true));
}

#[test]
#[should_panic(expected = "not polled ready itself")]
fn call_of_fresh_clone_panics() {
    let mut service = checked();
    assert_ready_ok!(poll_ready(&mut service));
    drop(another(&service).call(true));
}

#[test]
#[should_panic(expected = "not polled ready itself")]
fn call_after_pending_panics() {
    let mut service = scripted([Poll::Pending]);
    assert_pending!(poll_ready(&mut service));
    drop(service.call(true));
}

#[test]
#[should_panic(expected = "a handle that has failed")]
fn poll_after_readiness_error_panics() {
    let mut service = scripted([Poll::Ready(Err("lost"))]);
    assert_ready_err!(poll_ready(&mut service));
    let _ = poll_ready(&mut service);
}

#[test]
#[should_panic(expected = "not polled ready itself")]
fn call_after_readiness_error_panics() {
    let mut service = scripted([Poll::Ready(Err("lost"))]);
    assert_ready_err!(poll_ready(&mut service));
    drop(service.call(true));
}

#[test]
#[should_panic(expected = "took back the readiness")]
fn revoked_readiness_of_inner_service_panics() {
    let mut service = scripted([Poll::Pending, Poll::Ready(Ok(()))]);
    assert_ready_ok!(poll_ready(&mut service));
    let _ = poll_ready(&mut service);
}

/// A panic in a task without a join is silent, so the probe records it.
#[tokio::test]
async fn swallowed_panic_is_reported_as_violation() {
    let service = Contract::new(Scripted::default());
    let probe = service.probe();
    probe.assert_idle();
    let mut clone = service.clone();
    let task = tokio::spawn(async move { clone.call(true).await });
    assert!(task.await.is_err_and(|error| error.is_panic()));

    assert_eq!(probe.report().violations, 1);
    let idle = tokio::spawn(async move { probe.assert_idle() });
    assert!(idle.await.is_err_and(|error| error.is_panic()));
}

// ===== numbers =====

#[tokio::test]
async fn each_call_ends_completed_or_cancelled() {
    let slow = service_fn(|slow: bool| async move {
        if slow {
            pending::<()>().await;
        }
        Ok::<_, Infallible>(())
    });
    let mut service = Contract::new(slow);
    let probe = service.probe();

    assert!(
        service
            .ready()
            .await
            .expect("ready")
            .call(false)
            .await
            .is_ok()
    );
    let mut call = task::spawn(service.ready().await.expect("ready").call(true));
    assert_pending!(call.poll());
    let report = probe.report();
    assert_eq!(
        (report.calls, report.completed, report.in_flight),
        (2, 1, 1)
    );

    drop(call);
    let report = probe.report();
    assert_eq!(
        (report.calls, report.completed, report.in_flight),
        (2, 1, 0)
    );
    assert_eq!(report.cancelled, 1);
    probe.assert_idle();
}

#[test]
fn error_completes_call() {
    let mut service = checked();
    let probe = service.probe();
    assert_ready_ok!(poll_ready(&mut service));
    let mut call = task::spawn(service.call(false));
    assert_ready_err!(call.poll());
    assert_eq!(probe.report().completed, 1);
    assert_eq!(
        probe.report().in_flight,
        0,
        "a call ends when it resolves, not at the drop"
    );
}

#[test]
fn readiness_is_held_until_call_or_drop() {
    let mut service = checked();
    let probe = service.probe();
    assert_ready_ok!(poll_ready(&mut service));
    assert_ready_ok!(poll_ready(&mut service));
    assert_eq!(probe.report().ready, 1, "asking twice is one readiness");
    let mut other = another(&service);
    assert_ready_ok!(poll_ready(&mut other));
    assert_eq!(probe.report().ready, 2);

    drop(service.call(true));
    assert_eq!((probe.report().ready, probe.report().unused), (1, 0));
    drop(other);
    assert_eq!((probe.report().ready, probe.report().unused), (0, 1));
}

#[test]
#[should_panic(expected = "not idle")]
fn held_readiness_is_not_idle() {
    let mut service = checked();
    assert_ready_ok!(poll_ready(&mut service));
    service.probe().assert_idle();
}

#[test]
fn readiness_error_is_counted_and_ends_readiness() {
    let mut service = scripted([Poll::Ready(Err("lost")), Poll::Ready(Ok(()))]);
    let probe = service.probe();
    assert_ready_ok!(poll_ready(&mut service));
    assert_eq!(assert_ready_err!(poll_ready(&mut service)), "lost");
    let mut expected = Report::default();
    expected.failed_ready = 1;
    assert_eq!(probe.report(), expected);
}

#[test]
fn getters_return_inner_service() {
    let mut service = Contract::new(7);
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
}

/// Compiles only while the wrapper adds no bounds of its own to these traits.
#[allow(dead_code)]
fn keeps_auto_traits<S: Send + Sync + Clone>(service: Contract<S>) {
    fn check<T: Send + Sync + Clone>(_: T) {}
    check(service.probe());
    check(service);
}
