use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn draws(backoff: &Backoff, chance: f64) -> Vec<Duration> {
    let mut before = Duration::ZERO;
    let draw = |retry| {
        let wait = backoff.draw(retry, before, || chance);
        before = wait.with_floor(Duration::ZERO);
        before
    };
    (0..5).map(draw).collect()
}

#[test]
fn bound_doubles_up_to_maximum() {
    let backoff = Backoff::default();
    let millis = [0, 1, 2, 3, 4, 5, u32::MAX].map(|n| backoff.bound(n).as_millis());
    assert_eq!(millis, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
}

#[test]
fn last_listed_delay_repeats() {
    let backoff = Backoff::list([1, 2, 4].map(Duration::from_secs)).unwrap();
    let expected = [1, 2, 4, 4, 4].map(Duration::from_secs);
    assert_eq!(draws(&backoff, 0.5), expected);
    let halves = expected.map(|delay| delay / 2);
    assert_eq!(draws(&backoff.jitter(Jitter::Full), 0.5), halves);
}

#[test]
fn jitter_sets_random_part() {
    let backoff = Backoff::new(SECOND, 8 * SECOND).unwrap();
    for (jitter, chance, expected) in [
        (Jitter::Full, 0.0, [0.0, 0.0, 0.0, 0.0, 0.0]),
        (Jitter::Full, 0.5, [0.5, 1.0, 2.0, 4.0, 4.0]),
        (Jitter::Equal, 0.0, [0.5, 1.0, 2.0, 4.0, 4.0]),
        (Jitter::Equal, 0.5, [0.75, 1.5, 3.0, 6.0, 6.0]),
        (Jitter::Decorrelated, 0.0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (Jitter::Decorrelated, 0.5, [2.0, 3.5, 4.5, 4.5, 4.5]),
        (Jitter::None, 0.5, [1.0, 2.0, 4.0, 8.0, 8.0]),
    ] {
        let expected = expected.map(Duration::from_secs_f64);
        let drawn = draws(&backoff.clone().jitter(jitter), chance);
        assert_eq!(drawn, expected, "{jitter:?} at {chance}");
    }
}

/// In the lab, 300 clients of a 10/s bucket need 4.6 calls each at most. With doubled waits they
/// need more. None of these clients knows of another one.
#[test]
fn hints_in_vain_spread_clients() {
    let backoff = Backoff::default();
    let lone = Hint {
        wait: SECOND,
        others: 0,
    };
    let draw = |backoff: &Backoff, retry, chance| {
        backoff.draw_for_hint(retry, lone, Duration::ZERO, || chance)
    };
    let longest = |retry| draw(&backoff, retry, 1.0).random;
    let quarter = SECOND / 4;
    let expected = [2 * quarter, quarter, quarter, 24 * SECOND, 16 * SECOND];
    assert_eq!([0, 1, 2, 3, 4].map(longest), expected);
    let list = Backoff::list([1, 2, 4].map(Duration::from_secs)).unwrap();
    let wait = draw(&list, 1, 1.0);
    assert_eq!(wait.fixed, 2 * SECOND, "a list is exact");
    for (jitter, least) in [(Jitter::None, SECOND), (Jitter::Equal, SECOND / 2)] {
        let wait = draw(&backoff.clone().jitter(jitter), 1, 0.0);
        assert_eq!(
            wait.with_floor(Duration::ZERO),
            least,
            "{jitter:?}: only jitter spreads"
        );
    }
}

#[test]
fn hint_replaces_only_fixed_part() {
    let wait = Wait {
        fixed: 2 * SECOND,
        random: SECOND,
    };
    assert_eq!(wait.with_floor(SECOND), 3 * SECOND);
    assert_eq!(wait.with_floor(5 * SECOND), 6 * SECOND);
    assert_eq!(wait.with_floor(Duration::MAX), Duration::MAX);
}

#[test]
fn invalid_delays_are_rejected() {
    let error = Backoff::new(Duration::ZERO, SECOND).unwrap_err();
    assert_eq!(error.field(), "base_delay");
    let error = Backoff::new(2 * SECOND, SECOND).unwrap_err();
    assert_eq!(
        error.to_string(),
        "max_delay: must not be below base_delay, got 1s"
    );
    assert_eq!(Backoff::list([]).unwrap_err().field(), "delays");
}

proptest! {
    #[test]
    fn wait_is_within_bound(
        retry: u32,
        base in 1..u64::MAX,
        max: u64,
        before: u64,
        chance in prop_oneof![0.0..=1.0, any::<f64>()],
        jitter in prop::sample::select(vec![
            Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::None,
        ]),
    ) {
        let retry = retry % 200;
        let (base, max) = (base.min(max.max(1)), max.max(1));
        let backoff = Backoff::new(Duration::from_millis(base), Duration::from_millis(max))
            .unwrap()
            .jitter(jitter);
        let before = Duration::from_millis(before);
        let wait = backoff
            .draw(retry, before, || chance)
            .with_floor(Duration::ZERO);
        let bound = match jitter {
            Jitter::Decorrelated => backoff.bound(u32::MAX),
            _ => backoff.bound(retry),
        };
        prop_assert!(wait <= bound, "{wait:?} > {bound:?}");
    }
}
