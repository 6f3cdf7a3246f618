//! The time of each check, and the endpoints that are checked.

use steadfast_balance::HealthCheck;
use tokio::time::{Instant, sleep};

use super::{MINUTE, check_times, every_ten_seconds, pool_with_checks};
use crate::support::{MS, Reply, SECOND, answer, endpoint, ok, pool, refusal};

#[tokio::test(start_paused = true)]
async fn checks_follow_the_interval_without_overlap() {
    let setup = pool_with_checks(pool(&["a", "b"]), &["a", "b"]);
    setup.checks.on("b", |_| Reply::never());
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds().timeout(15 * SECOND).unhealthy(100));
    sleep(35 * SECOND).await;
    assert_eq!(
        check_times(&setup.checks, "a", start),
        [0.0, 10.0, 20.0, 30.0]
    );
    // A slow check delays only its own endpoint, and checks of an endpoint never overlap.
    assert_eq!(check_times(&setup.checks, "b", start), [0.0, 15.0, 30.0]);
}

#[tokio::test(start_paused = true)]
async fn jitter_bounds_the_interval_and_seed_repeats_it() {
    let run = async |seed: u64| {
        let setup = pool_with_checks(pool(&["a"]), &["a"]);
        let start = Instant::now();
        let _checks = setup.start(&HealthCheck::new().jitter(0.5).seed(seed));
        sleep(10 * MINUTE).await;
        check_times(&setup.checks, "a", start)
    };
    let first = run(1).await;
    assert!((0.0..5.0).contains(&first[0]), "{first:?}");
    let gaps: Vec<f64> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.iter().all(|gap| (5.0..15.01).contains(gap)),
        "{gaps:?}"
    );
    assert!(gaps.iter().any(|gap| *gap < 7.5) && gaps.iter().any(|gap| *gap > 12.5));
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn disabled_endpoint_is_not_checked() {
    let setup = pool_with_checks(pool(&["a", "b"]), &["a", "b"]);
    setup.handle.disable("a").unwrap();
    let _checks = setup.start(&every_ten_seconds());
    sleep(15 * SECOND).await;
    assert_eq!(
        setup.checks.counts(["a", "b"]),
        [0, 2],
        "a disabled endpoint is not checked"
    );
    setup.handle.enable("a").unwrap();
    sleep(MS).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn cooling_endpoint_is_not_checked() {
    for by_hand in [false, true] {
        let setup = pool_with_checks(pool(&["a"]), &["a"]);
        if by_hand {
            // A manual cooldown replaces the bench.
            setup.requests.on("a", |_| answer(402));
            assert_eq!(setup.status().await, 402);
            setup.handle.cool("a", 25 * SECOND).unwrap();
        } else {
            setup.requests.on("a", |_| refusal("25"));
            assert_eq!(setup.status().await, 429);
        }
        let start = Instant::now();
        let _checks = setup.start(&every_ten_seconds());
        sleep(31 * SECOND).await;
        assert_eq!(
            check_times(&setup.checks, "a", start),
            [30.0],
            "by hand: {by_hand}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn added_endpoint_is_checked_and_removed_one_is_not() {
    let setup = pool_with_checks(pool(&["a"]), &["a", "b"]);
    setup.checks.on("a", |_| Reply::never());
    let start = Instant::now();
    let _checks = setup.start(&every_ten_seconds());
    sleep(SECOND).await;
    assert_eq!(setup.checks.running("a"), 1);
    setup.handle.replace([endpoint("b")]).unwrap();
    sleep(MS).await;
    assert_eq!(setup.checks.running("a"), 0, "what runs there is dropped");
    sleep(30 * SECOND).await;
    assert_eq!(
        check_times(&setup.checks, "b", start),
        [1.0, 11.0, 21.0, 31.0]
    );
    assert_eq!(setup.checks.count("a"), 1);

    // A remaining endpoint keeps its schedule.
    setup.checks.on("a", |_| ok());
    setup.handle.add(endpoint("a")).unwrap();
    sleep(9 * SECOND).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [2, 4]);
    sleep(SECOND + 5 * MS).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [3, 5]);
}

#[tokio::test(start_paused = true)]
async fn dropped_checks_stop() {
    let setup = pool_with_checks(pool(&["a", "b"]), &["a", "b"]);
    setup.checks.on("a", |_| Reply::never());
    let checks = setup.start(&every_ten_seconds());
    sleep(SECOND).await;
    assert_eq!(
        (setup.checks.running("a"), checks.is_finished()),
        (1, false)
    );
    drop(checks);
    sleep(MS).await;
    assert_eq!(setup.checks.running("a"), 0);
    sleep(MINUTE).await;
    assert_eq!(setup.checks.counts(["a", "b"]), [1, 1]);
}
