//! The service that checks its callers: when it is ready, and when it waits.

#[path = "support/scripted.rs"]
mod scripted;

use scripted::{another, checked, limited, poll_ready};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::Service;

#[test]
fn a_held_service_is_pending_and_wakes_when_allowed() {
    let mut service = checked();
    let mut ready = another(&service);
    assert_ready_ok!(poll_ready(&mut ready));
    let probe = service.probe();

    probe.hold();
    assert_ready_ok!(poll_ready(&mut ready));
    assert_pending!(poll_ready(&mut service));
    assert!(!service.is_woken());

    probe.allow();
    assert!(service.is_woken());
    assert_ready_ok!(poll_ready(&mut service));
}

#[test]
fn a_readiness_error_wakes_one_who_waits() {
    let mut service = checked();
    let mut other = another(&service);
    let probe = service.probe();
    probe.hold();
    assert_pending!(poll_ready(&mut service));
    assert_pending!(poll_ready(&mut other));

    probe.fail_ready("lost");
    assert!(service.is_woken());
    assert_eq!(assert_ready_err!(poll_ready(&mut service)), "lost");
    assert_pending!(poll_ready(&mut other));
}

#[test]
fn a_readiness_error_reaches_one_who_waits_for_a_permit() {
    let mut service = limited(0);
    assert_pending!(poll_ready(&mut service));
    service.probe().fail_ready("lost");
    assert!(service.is_woken());
    assert_eq!(assert_ready_err!(poll_ready(&mut service)), "lost");
}

#[test]
#[should_panic(expected = "fail_ready was not given a &str")]
fn an_error_of_another_type_is_refused() {
    let mut service = checked();
    service.probe().fail_ready(7);
    let _ = poll_ready(&mut service);
}

#[test]
fn a_permit_comes_back_in_every_way() {
    let mut service = limited(1);
    let mut waiting = another(&service);
    assert_ready_ok!(poll_ready(&mut service));
    assert_pending!(poll_ready(&mut waiting));

    // The call keeps it, and gives it back when it resolves.
    let mut call = task::spawn(service.call(true));
    assert!(!waiting.is_woken());
    assert_ready_ok!(call.poll());
    assert!(waiting.is_woken());
    assert_ready_ok!(poll_ready(&mut waiting));

    // Dropping the future.
    assert_pending!(poll_ready(&mut service));
    drop(waiting.call(true));
    assert!(service.is_woken());
    assert_ready_ok!(poll_ready(&mut service));

    // Dropping the handle.
    assert_pending!(poll_ready(&mut waiting));
    drop(service);
    assert!(waiting.is_woken());
    assert_ready_ok!(poll_ready(&mut waiting));
}

/// As with tower's `ConcurrencyLimit`: the permit goes to whoever asked first, also if that one
/// does not come for it. A layer that parks such a handle starves the others.
#[test]
fn a_handle_that_asked_and_left_keeps_others_out() {
    let mut service = limited(1);
    let mut parked = another(&service);
    let mut other = another(&service);
    assert_ready_ok!(poll_ready(&mut service));
    assert_pending!(poll_ready(&mut parked));
    drop(service);

    assert_pending!(poll_ready(&mut other));
    drop(parked);
    assert!(other.is_woken());
    assert_ready_ok!(poll_ready(&mut other));
}

/// Tokio makes a task that polls much pending now and then. A checked service must not.
#[tokio::test]
async fn readiness_does_not_depend_on_how_often_a_task_polls() {
    let mut service = limited(1);
    for _ in 0..1_000 {
        assert_ready_ok!(poll_ready(&mut service));
        let call = service.call(true);
        assert!(assert_ready!(task::spawn(call).poll()).is_ok());
    }
}
