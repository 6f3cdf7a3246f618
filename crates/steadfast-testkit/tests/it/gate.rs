//! The contract checker: readiness, holds and permits.

use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::Service;

use crate::support::scripted::{another, checked, limited, poll_ready};

#[test]
fn held_service_is_pending_and_wakes_when_released() {
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
fn readiness_error_wakes_waiting_handle() {
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
fn readiness_error_reaches_handle_waiting_for_permit() {
    let mut service = limited(0);
    assert_pending!(poll_ready(&mut service));
    service.probe().fail_ready("lost");
    assert!(service.is_woken());
    assert_eq!(assert_ready_err!(poll_ready(&mut service)), "lost");
}

#[test]
#[should_panic(expected = "fail_ready was not given a &str")]
fn readiness_error_of_another_type_panics() {
    let mut service = checked();
    service.probe().fail_ready(7);
    let _ = poll_ready(&mut service);
}

#[test]
fn call_end_drop_and_error_return_permit() {
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

/// As in tower's `ConcurrencyLimit`, the permit goes to the first handle in the queue, even if that
/// handle is not polled again. A layer that parks such a handle starves the others.
#[test]
fn parked_handle_blocks_later_handles() {
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

/// Tokio's cooperative budget makes busy tasks pending. A checked service must not be affected.
#[tokio::test]
async fn frequent_polls_keep_service_ready() {
    let mut service = limited(1);
    for _ in 0..1_000 {
        assert_ready_ok!(poll_ready(&mut service));
        let call = service.call(true);
        assert!(assert_ready!(task::spawn(call).poll()).is_ok());
    }
}
