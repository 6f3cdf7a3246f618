//! The metrics of events.

use std::time::Duration;

use crate::support::record;
use steadfast_core::layer::Observers;
use steadfast_core::{BreakerState, Class, EndpointName, Event, Observer};
use steadfast_metrics::EventMetrics;

fn name() -> EndpointName {
    "primary".into()
}

fn transition(from: BreakerState, to: BreakerState) -> Event {
    Event::Breaker {
        endpoint: name(),
        from,
        to,
        retry_in: None,
    }
}

/// With one gauge per state, each of them could remain 1 after a full cycle.
#[test]
fn breaker_state_is_one_series_in_a_full_cycle() {
    use BreakerState::{Closed, HalfOpen, Open};
    let (seen, _guard) = record();
    let observer = EventMetrics::new();
    for (from, to, expected) in [
        (Closed, Open, "breaker_state{endpoint=primary} +1"),
        (Open, HalfOpen, "breaker_state{endpoint=primary} +2"),
        (HalfOpen, Open, "breaker_state{endpoint=primary} +1"),
        (Open, HalfOpen, "breaker_state{endpoint=primary} +2"),
        // Closed is 0, which `take` omits.
        (HalfOpen, Closed, ""),
    ] {
        observer.on_event(&transition(from, to));
        let mut lines = seen.take();
        lines.retain(|line| line.starts_with("breaker_state"));
        assert_eq!(lines.concat(), expected, "{from} to {to}");
    }
    let states: Vec<_> = seen
        .series()
        .into_iter()
        .filter(|series| series.starts_with("breaker_state"))
        .collect();
    assert_eq!(states, ["breaker_state{endpoint=primary}"]);
}

#[test]
fn transitions_are_counted_by_their_new_state() {
    use BreakerState::{Closed, HalfOpen, Open};
    let (seen, _guard) = record();
    for (from, to) in [(Closed, Open), (Open, HalfOpen), (HalfOpen, Open)] {
        EventMetrics::new().on_event(&transition(from, to));
    }
    let lines = seen.take();
    let expected = [
        "breaker_transitions_total{endpoint=primary,to=half_open} 1",
        "breaker_transitions_total{endpoint=primary,to=open} 2",
    ];
    assert_eq!(lines[1..], expected);
}

#[test]
fn each_other_event_has_its_counter() {
    let wait = Duration::from_millis(2500);
    for (event, expected) in [
        (
            Event::Cooldown {
                endpoint: name(),
                key: None,
                per_credential: false,
                class: Class::RateLimited,
                wait,
            },
            &[
                "cooldown_seconds{endpoint=primary} [2.5]",
                "cooldowns_total{endpoint=primary,class=rate_limited} 1",
            ][..],
        ),
        // An operator must not take the limit of one caller for one of all.
        (
            Event::Cooldown {
                endpoint: name(),
                key: None,
                per_credential: true,
                class: Class::QuotaExhausted,
                wait,
            },
            &[
                "cooldown_seconds{endpoint=primary} [2.5]",
                "cooldowns_total{endpoint=primary,per_credential=true,class=quota_exhausted} 1",
            ],
        ),
        (
            Event::CooldownEnded {
                endpoint: name(),
                key: None,
                per_credential: false,
            },
            &[],
        ),
        (
            Event::Failover {
                from: name(),
                to: "backup".into(),
                class: Class::Timeout,
                after: wait,
            },
            &["failovers_total{from=primary,to=backup,class=timeout} 1"],
        ),
        (
            Event::Hedge {
                from: name(),
                to: "backup".into(),
                after: wait,
            },
            &["hedges_total{from=primary,to=backup} 1"],
        ),
        (
            Event::Retry {
                class: Class::Transport,
                attempt: 2,
                wait,
            },
            &["retries_total{class=transport} 1"],
        ),
        (Event::Exhausted { retry_in: None }, &["exhausted_total 1"]),
    ] {
        let (seen, _guard) = record();
        let mut observers = Observers::new();
        observers.add(EventMetrics::new());
        observers.emit(&event);
        assert_eq!(seen.take(), expected, "{event:?}");
    }
}

fn cooldown_of(key: &str) -> Event {
    Event::Cooldown {
        endpoint: name(),
        key: Some(key.into()),
        per_credential: false,
        class: Class::ModelUnavailable,
        wait: Duration::from_secs(60),
    }
}

#[test]
fn cooldown_of_limit_key_has_its_label() {
    let (seen, _guard) = record();
    EventMetrics::new().on_event(&cooldown_of("gpt-4o"));
    assert_eq!(
        seen.take(),
        [
            "cooldown_seconds{endpoint=primary} [60.0]",
            "cooldowns_total{endpoint=primary,key=gpt-4o,class=model_unavailable} 1",
        ]
    );
}

/// A caller that invents models must not grow the memory of the metrics.
#[test]
fn number_of_key_labels_is_bounded() {
    let (seen, _guard) = record();
    let observer = EventMetrics::new();
    for n in 0..1_000 {
        observer.clone().on_event(&cooldown_of(&n.to_string()));
    }
    let other = "cooldowns_total{endpoint=primary,key=other,class=model_unavailable} 936";
    assert!(seen.take().iter().any(|line| line == other));
    assert_eq!(seen.series().len(), EventMetrics::MAX_KEYS + 2);
}

#[test]
fn only_named_keys_have_a_label() {
    let (seen, _guard) = record();
    let observer = EventMetrics::new().keys(["a", "b"]);
    for key in ["c", "a", "d"] {
        observer.on_event(&cooldown_of(key));
    }
    let mut lines = seen.take();
    lines.retain(|line| line.starts_with("cooldowns_total"));
    assert_eq!(
        lines,
        [
            "cooldowns_total{endpoint=primary,key=a,class=model_unavailable} 1",
            "cooldowns_total{endpoint=primary,key=other,class=model_unavailable} 2",
        ]
    );
}
