//! What our breaker has to reach, each with a weaker rule that does not.

use std::time::Duration;

use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder};

use crate::breaker::detect::requests;
use crate::breaker::rows::endpoint;
use crate::breaker::{CROWD, Counts, MONTH, Noise, Observed, Probes, Row, crowd, quantile, rows};

fn ours() -> impl Iterator<Item = Row> {
    rows().into_iter().filter(Row::is_ours)
}

fn row(builder: fn() -> CircuitBreakerBuilder) -> Row {
    Row::ours("of a test", "", builder)
}

fn until_open(row: &Row, healthy: u32) -> Option<u32> {
    requests(row, 1, healthy, 1.0)
}

#[test]
fn total_outage_opens_within_seven_requests() {
    for row in ours() {
        for healthy in [0, 3, 1_000] {
            let found = until_open(&row, healthy);
            assert!(found.is_some_and(|n| n <= 7), "{row:?}: {found:?}");
        }
    }
    let weak = row(|| endpoint().consecutive_failures(8));
    assert_eq!(until_open(&weak, 100), Some(8));
}

/// The median and the 90th percentile of what real breakers need for half of an outage.
fn half(row: &Row) -> (u32, u32) {
    let found: Vec<_> = (1..=1_000)
        .map(|seed| requests(row, seed, 100, 0.5))
        .collect();
    let at = |share| quantile(&found, share).expect("it opens within 1000 requests");
    (at(0.5), at(0.9))
}

fn is_soon((median, p90): (u32, u32)) -> bool {
    median <= 20 && p90 <= 40
}

#[test]
fn partial_outage_opens_within_20_requests_at_median_and_40_at_p90() {
    let found = half(&row(endpoint));
    assert!(is_soon(found), "{found:?}");
    for weak in [
        row(|| endpoint().excess_failures(7, 0.22)),
        row(|| endpoint().excess_failures(6, 0.26)),
        row(|| seven().failures_of_last(10, 18)),
        row(CircuitBreaker::builder),
    ] {
        assert!(!is_soon(half(&weak)), "{:?}", half(&weak));
    }
}

fn seven() -> CircuitBreakerBuilder {
    CircuitBreaker::builder().consecutive_failures(7)
}

fn false_alarms(counts: Counts) -> f64 {
    counts.chance(0.05) * MONTH
}

/// At 5 % noise and 100 requests a second. No window of calls is both as rare as that and as soon
/// as was asked for, and no simpler sum is either.
#[test]
fn false_alarms_stay_below_one_per_month() {
    let endpoint = rows().into_iter().find_map(|row| {
        let is_it = row.name() == "steadfast-balance";
        is_it.then(|| row.counts()).flatten()
    });
    let endpoint = endpoint.expect("a rule of counts");
    let found = false_alarms(endpoint);
    assert!((0.97..0.98).contains(&found), "{found}");
    assert!(is_soon(computed(endpoint)));

    let seven = Counts::in_a_row(7);
    assert!(false_alarms(seven) < 1.0);
    let window = |(failures, window)| seven.or_of_last(failures, window);
    // Of each window the most failures that are soon enough, and one more. Shorter windows open
    // more often, longer ones too, and eleven failures are too late whatever they are taken from.
    let often = [(9, 17), (9, 18), (9, 19), (10, 20), (10, 21)].map(window);
    let late = [(10, 17), (10, 18), (10, 19), (11, 20), (11, 21)].map(window);
    for counts in often.into_iter().chain([seven.or_beyond(6, 21)]) {
        assert!(false_alarms(counts) >= 1.0, "{counts:?}");
    }
    for counts in late.into_iter().chain([seven.or_beyond(6, 23)]) {
        assert!(!is_soon(computed(counts)), "{counts:?}");
    }
}

/// The median and the 90th percentile, exactly.
fn computed(counts: Counts) -> (u32, u32) {
    let until = counts.calls_until(&[0.5, 0.9], 0.5, 1_000);
    (until[0], until[1])
}

/// The chain, and real breakers at a noise that makes false alarms countable. Opening is nearly a
/// Poisson process, so the counted number is within four standard deviations.
#[test]
fn computed_false_alarms_match_simulation() {
    for (row, failing) in ours().zip([0.1, 0.2]) {
        let counts = row.counts().expect("a rule of counts");
        let seen = Noise::of(&row, failing, 400_000, 1);
        let expected = counts.chance(failing) * seen.calls as f64;
        assert!(expected > 3.0, "too few to count: {expected}");
        let off = f64::from(seen.trips) - expected;
        assert!(
            off.abs() < 4.0 * expected.sqrt(),
            "{row:?}: {seen:?}, and {expected} are expected"
        );
    }
}

/// The same for half of an outage.
#[test]
fn computed_detection_matches_simulation() {
    for row in ours() {
        let counts = row.counts().expect("a rule of counts");
        let (median, p90) = half(&row);
        // Three deviations of the shares that a thousand runs have below both.
        let shares = [0.5 - 0.048, 0.5 + 0.048, 0.9 - 0.029, 0.9 + 0.029];
        let until = counts.calls_until(&shares, 0.5, 1_000);
        assert!((until[0]..=until[1]).contains(&median), "{row:?}: {median}");
        assert!((until[2]..=until[3]).contains(&p90), "{row:?}: {p90}");
    }
}

#[test]
fn half_open_breaker_admits_one_of_a_crowd() {
    for row in ours() {
        assert_eq!(crowd(&row), Some(1), "{row:?}");
    }
    let weak = row(|| endpoint().probes(600));
    assert_eq!(crowd(&weak), Some(CROWD));
}

/// Outages of all lengths from 30 to 90 s: few requests are wasted on it, and it comes back, also
/// if probes are slow or their callers go away.
#[test]
fn outage_costs_few_requests_and_ends() {
    for probes in [
        Probes::Usual,
        Probes::Slow(Duration::from_secs(10)),
        Probes::Cancelled(3),
    ] {
        for seen in Observed::of(&row(endpoint), probes, 4) {
            assert!(seen.opened && seen.sent_after <= 5, "{probes:?}: {seen:?}");
            // Open for at most 40 s, and three probes.
            let whole = seen.whole.expect("it comes back");
            assert!(whole < 40.0 + 32.0, "{probes:?}: {seen:?}");
        }
    }
    const SECOND: Duration = Duration::from_secs(1);
    let weak = row(|| {
        endpoint()
            .recovery_timeout(SECOND)
            .max_recovery_timeout(SECOND)
    });
    let seen = Observed::of(&weak, Probes::Usual, 1);
    assert!(seen[0].sent_after > 5, "{seen:?}");
}
