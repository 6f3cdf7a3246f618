use std::time::Duration;

use http::Extensions;
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{Class, InvalidConfig, Verdict};

use super::*;
use crate::endpoint::Endpoint;
use crate::pool::Pool;
use crate::pool::tests::shared;
use crate::state::cooldown::tests::learn;
use crate::state::limits::attempt::Pace;
use crate::state::limits::demand::Demand;
use steadfast_core::RoutingOptions;

const SECOND: Duration = Duration::from_secs(1);

/// The known facts of an endpoint.
#[derive(Clone, Copy)]
/// The number of requests in flight.
struct Known {
    /// The latency of a success in seconds.
    in_flight: u32,
    latency: Option<f64>,
    /// The number of failures among the last 20 outcomes.
    failures: u32,
    weight: f64,
    cost: f64,
}

const KNOWN: Known = Known {
    in_flight: 0,
    latency: Some(1.0),
    failures: 0,
    weight: 1.0,
    cost: 1.0,
};

fn pool(known: &[Known]) -> Pool {
    let endpoint = |(n, known): (usize, &Known)| {
        let breaker = CircuitBreaker::builder().failures_of_last(20, 20);
        let endpoint = Endpoint::new(&n.to_string(), "http://a.test").unwrap();
        let endpoint = endpoint.breaker(breaker.consecutive_failures(1000));
        endpoint.weight(known.weight).cost(known.cost)
    };
    let pool = Pool::new(
        shared(Strategy::Failover),
        known.iter().enumerate().map(endpoint).collect(),
    )
    .unwrap();
    for (entry, known) in pool.snapshot().active().iter().zip(known) {
        let endpoint = &entry.state;
        (0..known.in_flight).for_each(|_| endpoint.load.enter(Duration::ZERO));
        if let Some(latency) = known.latency {
            endpoint
                .load
                .latency
                .record(Duration::from_secs_f64(latency));
        }
        for _ in 0..known.failures {
            let permit = endpoint.breaker.try_acquire().expect("closed");
            permit.record(Verdict::new(Class::ServerError));
        }
    }
    pool
}

/// Lets a strategy choose after the endpoints were idle for `idle`.
fn choose_after(
    pool: &Pool,
    strategy: &dyn Pick,
    options: Option<&RoutingOptions>,
    idle: Duration,
) -> usize {
    let extensions = Extensions::new();
    let request = PickContext {
        extensions: &extensions,
        options,
        demand: &Demand::default(),
        now: pool.shared.start + idle,
        start: pool.shared.start,
        round: &pool.shared.draws.round,
        turns: &pool.shared.draws.turns,
    };
    let snapshot = pool.snapshot();
    let entries = snapshot.active();
    let indices: Vec<u32> = (0..entries.len() as u32).collect();
    let candidates = Candidates::new((entries, 0), &indices, &request);
    strategy
        .pick(&request, candidates)
        .map_or(0, |chosen| chosen.index())
}

fn choose(pool: &Pool, strategy: &dyn Pick) -> usize {
    choose_after(pool, strategy, None, Duration::ZERO)
}

#[test]
fn failover_chooses_first_candidate() {
    assert_eq!(choose(&pool(&[KNOWN, KNOWN]), &Strategy::Failover), 0);
}

#[test]
fn least_loaded_counts_work_in_flight() {
    let with = |in_flight, latency| Known {
        in_flight,
        latency: Some(latency),
        ..KNOWN
    };
    let choose = |known: &[Known]| choose(&pool(known), &Strategy::LeastLoaded);
    assert_eq!(choose(&[with(2, 1.0), with(1, 2.0)]), 0, "3 against 4");
    assert_eq!(choose(&[with(4, 1.0), with(1, 2.0)]), 1, "5 against 4");
    assert_eq!(choose(&[with(1, 0.0), with(0, 0.0)]), 1, "in no time");
    let heavy = Known {
        weight: 3.0,
        ..with(4, 1.0)
    };
    assert_eq!(choose(&[with(1, 1.0), heavy]), 1, "2 against 5 / 3");
    let unknown = Known {
        latency: None,
        ..with(1, 0.0)
    };
    assert_eq!(
        choose(&[with(1, 2.0), with(2, 1.0), unknown]),
        2,
        "as fast as the fastest"
    );
    let idle = Known {
        in_flight: 0,
        ..unknown
    };
    assert_eq!(choose(&[with(0, 1.0), idle]), 1, "worth a try");
    assert_eq!(choose(&[idle, idle]), 0, "the first of equals");
}

/// The endpoint with the larger burst or the later refusal had the fuller token bucket, and got the
/// spare requests: 64 % of the requests for half of the quota.
#[tokio::test(start_paused = true)]
async fn least_loaded_gives_each_limited_endpoint_its_share_while_all_have_tokens() {
    let slow = Known {
        latency: Some(4.0),
        ..KNOWN
    };
    let pool = pool(&[KNOWN, slow]);
    let snapshot = pool.snapshot();
    let limits = [0, 1].map(|at| &snapshot.active()[at].state.limits);
    for (limits, rate) in limits.iter().zip([20.0, 5.0]) {
        learn(&limits.wide.cooldown, rate, pool.shared.start + 2 * SECOND);
        limits.refresh();
    }
    let mut counts = [0_u32; 2];
    for n in 0..600 {
        // 20 requests/s for 25/s.
        let after = 2 * SECOND + n * SECOND / 20;
        let chosen = choose_after(&pool, &Strategy::LeastLoaded, None, after);
        let demand = Demand::default();
        let now = (Pace::Regular, pool.shared.start + after);
        let tickets = limits[chosen].try_admit(&demand, &http::Extensions::new(), now);
        limits[chosen].succeeded(
            (&tickets.expect("a token"), Default::default()),
            now.1,
            |_| {},
        );
        counts[chosen] += 1;
    }
    // The rates grow until a refusal, and the larger one grows sooner.
    assert!((102..=120).contains(&counts[1]), "{counts:?}");
}

#[test]
fn least_loaded_counts_failures_as_load() {
    let with = |in_flight, failures| Known {
        in_flight,
        failures,
        ..KNOWN
    };
    let choose = |known: &[Known]| choose(&pool(known), &Strategy::LeastLoaded);
    let failing = with(0, 10);
    assert_eq!(choose(&[failing, with(2, 0)]), 1, "4 against 3");
    assert_eq!(choose(&[failing, with(4, 0)]), 0, "4 against 5");
    assert_eq!(choose(&[with(0, 19), with(100, 0)]), 0);
}

#[test]
fn scored_weighs_health_over_latency() {
    let with = |failures, latency| Known {
        failures,
        latency: Some(latency),
        ..KNOWN
    };
    let choose = |known: &[Known]| choose(&pool(known), &Strategy::Scored);
    // 0.28 + 0.30 against 0.70 + 0.15.
    assert_eq!(choose(&[with(12, 0.5), with(0, 1.0)]), 1);
    // 0.63 + 0.30 against 0.70 + 0.15.
    assert_eq!(choose(&[with(2, 0.5), with(0, 1.0)]), 0);
    assert_eq!(choose(&[KNOWN, KNOWN]), 0, "the first of equals");
}

#[test]
fn scored_counts_unknown_endpoint_as_fast() {
    let unhealthy = Known {
        failures: 2,
        ..KNOWN
    };
    let unknown = |in_flight| Known {
        latency: None,
        in_flight,
        ..KNOWN
    };
    let choose = |known: &[Known]| choose(&pool(known), &Strategy::Scored);
    assert_eq!(choose(&[unhealthy, unknown(0)]), 1);
    assert_eq!(choose(&[unhealthy, unknown(1)]), 0, "it may hang");
}

/// Otherwise an endpoint with one bad minute would never be tried again.
#[test]
fn scored_forgets_old_outcomes() {
    let failed = Known {
        failures: 10,
        ..KNOWN
    };
    let slow = Known {
        latency: Some(1.5),
        in_flight: 1,
        ..KNOWN
    };
    let pool = pool(&[failed, slow]);
    assert_eq!(choose(&pool, &Strategy::Scored), 1);
    let rested = Duration::from_secs(30);
    assert_eq!(choose_after(&pool, &Strategy::Scored, None, rested), 0);
}

#[test]
fn scored_with_cost_share_chooses_cheap_endpoint() {
    let dear = Known { cost: 3.0, ..KNOWN };
    let slow = Known {
        latency: Some(1.5),
        ..KNOWN
    };
    let pool = pool(&[dear, slow]);
    assert_eq!(choose(&pool, &Strategy::Scored), 0);
    let thrifty = Scored::mix(0.5, 0.25, 0.25).expect("positive");
    assert_eq!(choose(&pool, &thrifty), 1);
    for (health, latency, cost, field) in [
        (-1.0, 0.0, 0.0, "health"),
        (1.0, f64::NAN, 0.0, "latency"),
        (1.0, 0.0, f64::INFINITY, "cost"),
        (0.0, 0.0, 0.0, "health"),
    ] {
        let error = Scored::mix(health, latency, cost).unwrap_err();
        assert_eq!(error.field(), field);
    }
}

/// The weights may be tokens per minute, for example.
#[test]
fn round_robin_keeps_proportions_of_weights() {
    for unit in [1e-6, 1.0, 1e6, 1e30] {
        let weights = [1.0, 0.6].map(|weight| Known {
            weight: weight * unit,
            ..KNOWN
        });
        let pool = pool(&weights);
        let second: usize = (0..160).map(|_| choose(&pool, &Strategy::RoundRobin)).sum();
        assert_eq!(second, 60, "{unit}");
    }
}

#[test]
fn round_robin_spreads_large_weight_over_round() {
    let with = |weight| Known { weight, ..KNOWN };
    let pool = pool(&[with(5.0), with(1.0), with(1.0)]);
    let rounds = || {
        (0..7)
            .map(|_| choose(&pool, &Strategy::RoundRobin))
            .collect::<Vec<_>>()
    };
    assert_eq!(rounds(), [0, 0, 0, 1, 2, 0, 0]);
    assert_eq!(rounds(), [0, 0, 0, 1, 2, 0, 0]);
}

/// Two routes over the same endpoints must not take each other's turns.
#[test]
fn weights_of_a_request_distribute_each_kind_by_itself() {
    for strategy in [Strategy::Failover, Strategy::RoundRobin] {
        for unit in [1e-300, 1.0, 1e300] {
            let pool = pool(&[KNOWN, KNOWN]);
            let kinds = [3.0, 1.0, 0.25].map(|weight| {
                RoutingOptions::new()
                    .weight("0", weight * unit)
                    .weight("1", unit)
            });
            let mut first = [0; 3];
            for _ in 0..1000 {
                for (kind, options) in kinds.iter().enumerate() {
                    let chosen = choose_after(&pool, &strategy, Some(options), Duration::ZERO);
                    first[kind] += 1 - chosen;
                }
            }
            for (count, share) in first.into_iter().zip([750, 500, 200]) {
                assert!(count.abs_diff(share) < 10, "{strategy}: {first:?}");
            }
        }
    }
}

#[test]
fn weights_of_a_request_precede_the_ones_of_endpoints() {
    let with = |weight| Known { weight, ..KNOWN };
    let pool = pool(&[with(100.0), with(1.0)]);
    let options = RoutingOptions::new().weight("1", 1000.0);
    let choose = |options| choose_after(&pool, &Strategy::LeastLoaded, options, Duration::ZERO);
    assert_eq!((choose(None), choose(Some(&options))), (0, 1));
    let more = |options| choose_after(&pool, &Strategy::Failover, options, Duration::ZERO);
    let second: usize = (0..1100).map(|_| more(Some(&options))).sum();
    assert!(second.abs_diff(1000) < 10, "{second}");
}

/// Otherwise the endpoint would get all requests until it has the same number as the others.
#[test]
fn round_robin_returning_endpoint_does_not_catch_up() {
    let pool = pool(&[KNOWN, KNOWN]);
    pool.edit(|all, _| {
        all[1].service = crate::pool::snapshot::EndpointMode::Disabled;
        Ok::<_, InvalidConfig>(())
    })
    .unwrap();
    for _ in 0..100 {
        assert_eq!(choose(&pool, &Strategy::RoundRobin), 0);
    }
    pool.edit(|all, _| {
        all[1].service = crate::pool::snapshot::EndpointMode::Enabled;
        Ok::<_, InvalidConfig>(())
    })
    .unwrap();
    let first: usize = (0..10).map(|_| choose(&pool, &Strategy::RoundRobin)).sum();
    assert!((5..=6).contains(&first), "{first} of 10 for the second");
}

#[test]
fn headroom_chooses_largest_remaining_quota() {
    let pool = pool(&[KNOWN, KNOWN, KNOWN]);
    let snapshot = pool.snapshot();
    for (entry, remaining) in snapshot.active().iter().zip(["10", "70", "40"]) {
        let headers = http::HeaderMap::from_iter([
            ("ratelimit-limit".parse().unwrap(), "100".parse().unwrap()),
            (
                "ratelimit-remaining".parse().unwrap(),
                remaining.parse().unwrap(),
            ),
        ]
            as [(http::HeaderName, http::HeaderValue); 2]);
        let now = std::time::SystemTime::now();
        let limit = steadfast_core::RateLimit::from_headers(&headers, now);
        entry.state.limits.wide.quota.learn(&limit, Duration::ZERO);
    }
    assert_eq!(choose(&pool, &Strategy::Headroom), 1);
    for _ in 0..50 {
        snapshot.active()[1]
            .state
            .limits
            .wide
            .quota
            .send(None, || Duration::ZERO);
    }
    assert_eq!(choose(&pool, &Strategy::Headroom), 2, "20 are left of 70");
}

#[test]
fn sticky_keeps_key_at_its_endpoint() {
    let with = |weight| Known { weight, ..KNOWN };
    let four = pool(&[with(1.0), with(1.0), with(1.0), with(2.0)]);
    let owner = |pool: &Pool, key: u32| {
        let options = RoutingOptions::new().affinity_key(key.to_le_bytes());
        choose_after(pool, &Strategy::Sticky, Some(&options), Duration::ZERO)
    };
    let owners: Vec<_> = (0..5_000).map(|key| owner(&four, key)).collect();
    for (at, share) in [(0, 0.2), (1, 0.2), (2, 0.2), (3, 0.4)] {
        let count = owners.iter().filter(|owner| **owner == at).count() as f64;
        // Four standard deviations of a binomial distribution.
        let deviation = f64::sqrt(5_000.0 * share * (1.0 - share));
        assert!(
            (count - 5_000.0 * share).abs() < 4.0 * deviation,
            "{at}: {count}"
        );
    }
    // Without the third endpoint, only its own keys move.
    four.edit(|all, _| {
        all[2].service = crate::pool::snapshot::EndpointMode::Disabled;
        Ok::<_, InvalidConfig>(())
    })
    .unwrap();
    for (key, before) in (0..5_000).zip(owners) {
        let now = [0, 1, 3][owner(&four, key)];
        assert!(
            before == 2 || before == now,
            "{key} has moved from {before} to {now}"
        );
    }
}

/// Without a key, no endpoint owns the request.
#[test]
fn sticky_without_a_key_is_least_loaded() {
    let busy = Known {
        in_flight: 1,
        ..KNOWN
    };
    assert_eq!(choose(&pool(&[busy, KNOWN]), &Strategy::Sticky), 1);
}

#[test]
fn strategy_is_object_safe() {
    fn is_object_safe(_: &dyn Pick) {}
    is_object_safe(&Strategy::Failover);
}

#[test]
fn min_by_orders_nan_last() {
    struct By([f64; 3]);
    impl Pick for By {
        fn pick<'a>(
            &self,
            _: &PickContext<'a>,
            candidates: Candidates<'a>,
        ) -> Option<Candidate<'a>> {
            candidates.min_by(|candidate| self.0[candidate.index()])
        }
    }
    let pool = pool(&[KNOWN; 3]);
    for (values, expected) in [
        ([f64::NAN, 2.0, 1.0], 2),
        ([2.0, f64::NAN, 3.0], 0),
        ([f64::NAN; 3], 0),
        ([f64::NAN, f64::INFINITY, f64::NAN], 1),
    ] {
        assert_eq!(choose(&pool, &By(values)), expected, "{values:?}");
    }
}
