//! A request that enters the queue while a slot becomes free.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use steadfast_balance::WhenExhausted;
use tokio::time::{Instant, timeout};

use crate::support::{Net, SECOND, balancer, get, ok, pool, send_for_status};

const ROUNDS: u32 = 4_000;

/// Between its check of the endpoints and its entry into the queue, a request is not registered. A
/// slot that became free in between notified no waiter, and the request waited until its timeout.
#[test]
fn slot_freed_during_enqueue_is_not_lost() {
    let net = Net::new();
    net.on("a", |_| ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    for round in 0..ROUNDS {
        let builder = pool(&["a"]).when_exhausted(WhenExhausted::Wait);
        let (service, handle) = balancer(builder, &net);
        handle.cool("a", 20 * SECOND).unwrap();
        let start = Barrier::new(2);
        let took = thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for _ in 0..round % 2_000 {
                    spin_loop();
                }
                handle.cool("a", Duration::ZERO).unwrap();
            });
            runtime.block_on(async {
                let request = timeout(10 * SECOND, send_for_status(&service, get()));
                start.wait();
                let came = Instant::now();
                assert_eq!(request.await, Ok(200), "round {round}");
                came.elapsed()
            })
        });
        // Without the notification, only the timeout would poll the request.
        assert!(took < 5 * SECOND, "round {round}: {took:?}");
        assert_eq!(handle.waiting(), 0, "round {round}");
    }
}
