//! The attempt that loses is cancelled.

use steadfast_core::{BreakerState, Trail};
use tokio::time::advance;
use tokio_test::{assert_pending, task};
use tower::ServiceExt;

use crate::support::{
    DELAY, MS, SECOND, get, get_with_trail, hedge, in_flight, pool, send_for_status, servers,
    stack, status_of, timed,
};

#[tokio::test(start_paused = true)]
async fn cancelled_attempt_leaves_endpoint_unchanged() {
    let net = servers([("a", 10 * SECOND), ("b", 5 * MS)]);
    let builder = pool(&["a", "b"]).abandoned_after(50 * MS);
    let (service, endpoints) = stack(&hedge(), builder, &net);
    let trail = Trail::new();
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 200);
    let a = status_of(&endpoints, "a");
    assert_eq!(
        (a.breaker, a.health, a.latency),
        (BreakerState::Closed, 1.0, None)
    );
    assert_eq!(status_of(&endpoints, "b").latency, Some(5 * MS));
    assert_eq!(trail.to_string(), "b: success (200), a: cancelled");
    assert_eq!(trail.failovers(), 0);
    assert_eq!(
        trail
            .attempts()
            .iter()
            .map(|it| it.hedge)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test(start_paused = true)]
async fn hedge_that_loses_is_dropped() {
    let net = servers([("a", 120 * MS), ("b", SECOND)]);
    let builder = pool(&["a", "b"]).abandoned_after(5 * MS);
    let (service, endpoints) = stack(&hedge(), builder, &net);
    let trail = Trail::new();
    let (code, took) = timed(send_for_status(&service, get_with_trail(&trail))).await;
    assert_eq!((code, took, net.running("b")), (200, 120 * MS, 0));
    assert_eq!(
        (status_of(&endpoints, "b").health, in_flight(&endpoints)),
        (1.0, vec![0, 0])
    );
    assert_eq!(trail.to_string(), "a: success (200), b: cancelled");
}

/// A dropped request differs from a request with an answer.
#[tokio::test(start_paused = true)]
async fn dropped_request_counts_as_timeout_after_abandoned_after() {
    let net = servers([("a", 10 * SECOND), ("b", 10 * SECOND)]);
    let builder = pool(&["a", "b"]).abandoned_after(150 * MS);
    let (service, _) = stack(&hedge(), builder, &net);
    let trail = Trail::new();
    let mut response = task::spawn(service.oneshot(get_with_trail(&trail)));
    assert_pending!(response.poll());
    advance(DELAY).await;
    assert_pending!(response.poll());
    advance(DELAY).await;
    drop(response);
    assert_eq!(trail.to_string(), "a: timeout, b: cancelled");
}
