//! Requests that are dropped at any time.

use std::time::Duration;

use proptest::prelude::{Just, Strategy as _, prop, prop_oneof, proptest};
use proptest::test_runner::Config;
use steadfast_core::RetryBudget;
use steadfast_hedge::HedgeLayer;
use tokio::time::advance;
use tower::ServiceExt;

use crate::support::{
    DELAY, Net, Reply, SECOND, answer, connection_reset, get, in_flight, ok, pool, refusal,
    request_only_to, send_for_status, share, stack,
};

#[derive(Clone, Copy, Debug)]
struct Course {
    a: u64,
    b: u64,
    codes: (u16, u16),
    dropped: u64,
}

fn course() -> impl proptest::strategy::Strategy<Value = Course> {
    let code = || prop_oneof![Just(200u16), Just(429), Just(500), Just(400), Just(0)];
    (0..400u64, 0..400u64, (code(), code()), 0..400u64).prop_map(|(a, b, codes, dropped)| Course {
        a,
        b,
        codes,
        dropped,
    })
}

async fn run(courses: Vec<Course>) {
    let reply = |code: u16, after: u64| {
        let reply = match code {
            0 => Reply::from(connection_reset()),
            429 => Reply::from(refusal("0")),
            code => Reply::from(answer(code)),
        };
        reply.after(Duration::from_millis(after))
    };
    let net = Net::new();
    let budget = RetryBudget::new(1_000_000);
    let layer = HedgeLayer::new().after(DELAY).budget(budget.clone());
    let layer = layer.max_share(share(0.5));
    let (service, endpoints) = stack(&layer, pool(&["a", "b"]), &net);
    for (n, course) in courses.into_iter().enumerate() {
        net.on("a", move |_| reply(course.codes.0, course.a));
        net.on("b", move |_| reply(course.codes.1, course.b));
        let limit = Duration::from_millis(course.dropped);
        drop(tokio::time::timeout(limit, service.clone().oneshot(get())).await);
        assert_eq!(in_flight(&endpoints), [0, 0], "{n}: {course:?}");
        assert_eq!((net.running("a"), net.running("b")), (0, 0));
        let spent = 1_000_000 - budget.available() as usize;
        assert!(spent <= 2 * (n + 1).div_ceil(2), "{spent} after {n}");
        let sent = net.count("a") + net.count("b");
        assert!(2 * sent <= 3 * (n + 1), "{sent} after {n}");
    }
    // The queue is empty, and no slot after a cooldown is lost.
    advance(600 * SECOND).await;
    net.on("a", |_| ok());
    net.on("b", |_| ok());
    for name in ["a", "b"] {
        for _ in 0..5 {
            assert_eq!(
                send_for_status(&service, request_only_to(name)).await,
                200,
                "{name}"
            );
        }
    }
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    /// All reservations are released for any answers and at any time of a drop.
    #[test]
    fn all_reservations_are_released(courses in prop::collection::vec(course(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(courses));
    }
}
