//! The contract of `tower_service::Service`, around any client.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use steadfast_edge::AttemptTimeoutLayer;
use steadfast_testkit::Contract;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// The contract service panics if a handle is called that has not reported readiness itself.
#[tokio::test(start_paused = true)]
async fn ready_handle_takes_the_call_and_late_attempts_are_dropped() {
    let slow = service_fn(|takes: Request<u32>| async move {
        sleep(takes.into_body() * SECOND).await;
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let inner = Contract::new(slow);
    let probe = inner.probe();
    let mut client = AttemptTimeoutLayer::new(3 * SECOND).layer(inner);
    for (takes, ok) in [(1, true), (5, false), (2, true)] {
        let outcome = client
            .ready()
            .await
            .expect("ready")
            .call(Request::new(takes))
            .await;
        assert_eq!(outcome.is_ok(), ok, "{takes} s");
    }
    timeout(SECOND, client.oneshot(Request::new(2)))
        .await
        .expect_err("dropped");
    probe.assert_idle();
}

#[test]
fn service_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone>(_: &T) {}
    check(&AttemptTimeoutLayer::new(SECOND).layer(()));
}
