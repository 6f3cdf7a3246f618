use super::*;
use crate::state::cooldown::Refusal;
use crate::state::cooldown::recovery::{Occasion, Recovery};
use crate::state::trigger::Trigger;
use std::num::NonZeroU16;
use steadfast_core::Class;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);

fn cause(request: u16) -> Cause {
    Cause {
        class: Class::QuotaExhausted,
        hint: None,
        request: NonZeroU16::new(request).map_or(RequestId::Unknown, RequestId::Digest),
        trigger: Trigger::default(),
        took: None,
        latency: None,
        is_own: false,
        is_confirmed: false,
    }
}

fn admit(cooldown: &Cooldown, now: Instant) -> Ticket {
    cooldown.try_admit(now).expect("admitted")
}

/// An attempt with this request that is refused at once.
fn refuse(cooldown: &Cooldown, request: u16, now: Instant) -> Option<Duration> {
    cooldown.benched(admit(cooldown, now), &cause(request), now, |_| true)
}

#[tokio::test(start_paused = true)]
async fn next_bench_doubles_only_after_a_different_request() {
    let mut now = Instant::now();
    let cooldown = Cooldown::new();
    for (request, minutes) in [
        (1, 1),
        (1, 1),
        (2, 2),
        (1, 4),
        (1, 8),
        (1, 16),
        (1, 30),
        (1, 30),
    ] {
        assert_eq!(refuse(&cooldown, request, now), Some(minutes * MINUTE));
        now += minutes * MINUTE;
    }
    assert_eq!(cooldown.rate(), None, "a bench teaches no rate");
    cooldown.serve(admit(&cooldown, now), now);
    now += 20 * SECOND;
    assert_eq!(refuse(&cooldown, 1, now), Some(MINUTE), "after a success");
}

/// A caller took an endpoint from all others with one request that only this caller sends.
#[tokio::test(start_paused = true)]
async fn refusal_beside_successes_concerns_only_its_request() {
    let start = Instant::now();
    let cooldown = Cooldown::new();
    let mut now = start + MILLI;
    for request in 1..200 {
        cooldown.serve(admit(&cooldown, now), now + MILLI);
        assert_eq!(refuse(&cooldown, request, now + 10 * SECOND), None);
        assert!(!cooldown.is_busy());
        now += 10 * SECOND;
    }
    cooldown.serve(admit(&cooldown, now), now);
    let late = now + 10 * SECOND + MILLI;
    assert_eq!(refuse(&cooldown, 1, late), Some(MINUTE), "a real one");
}

/// A spent quota must not cost a thousand requests a failover each.
#[tokio::test(start_paused = true)]
async fn many_refusals_since_last_success_begin_bench_within_a_second() {
    let cooldown = Cooldown::new();
    let now = Instant::now() + MILLI;
    cooldown.serve(admit(&cooldown, now), now);
    let refused = (0..2_000_u32).find(|n| refuse(&cooldown, 0, now + MILLI * *n).is_some());
    assert_eq!(refused, Some(1_001));
}

/// The answers of language models take minutes.
#[tokio::test(start_paused = true)]
async fn success_of_slow_endpoint_is_recent_for_longer() {
    let cooldown = Cooldown::new();
    let start = Instant::now() + MILLI;
    cooldown.serve(admit(&cooldown, start), start + MINUTE);
    let now = start + 2 * MINUTE;
    let slow = Cause {
        latency: Some(MINUTE),
        ..cause(1)
    };
    let ticket = admit(&cooldown, now);
    assert_eq!(cooldown.benched(ticket, &slow, now, |_| true), None);
    assert_eq!(refuse(&cooldown, 1, now), Some(MINUTE));
}

#[tokio::test(start_paused = true)]
async fn success_of_later_attempt_ends_bench_of_one_request() {
    for confirms in [false, true] {
        let now = Instant::now();
        let cooldown = Cooldown::new();
        let [before, refused, other, later] =
            [0, 1, 2, 3].map(|n| admit(&cooldown, now + n * MILLI));
        let now = now + SECOND;
        let wait = cooldown.benched(refused, &cause(1), now, |_| true);
        assert_eq!(wait, Some(MINUTE));
        assert!(!cooldown.serve(before, now), "sent before the refused one");
        let request = if confirms { 2 } else { 1 };
        cooldown.benched(other, &cause(request), now, |_| panic!("counted twice"));
        assert!(cooldown.until(now).is_some());
        assert_eq!(cooldown.serve(later, now), !confirms);
        assert_eq!(cooldown.until(now).is_none(), !confirms);
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_that_is_not_credible_releases_slot() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    let limited = Refusal {
        hint: Some(SECOND),
        ..Refusal::default()
    };
    cooldown.refused(admit(&cooldown, now), limited, now);
    let now = now + SECOND;
    let wait = cooldown.benched(admit(&cooldown, now), &cause(1), now, |_| false);
    assert_eq!(wait, None);
    assert_eq!(refuse(&cooldown, 1, now), Some(MINUTE));
    let now = now + MINUTE;
    let wait = cooldown.benched(admit(&cooldown, now), &cause(2), now, |is_again| is_again);
    assert_eq!(wait, Some(2 * MINUTE), "again, without a new count");
}

/// A model of the rules for one endpoint and key, beside the cooldown.
#[derive(Default)]
struct Model {
    /// The requests that were refused for a bench reason since the last success.
    refused: std::collections::BTreeSet<u16>,
    /// The last recovery probe.
    probed: Option<Instant>,
}

impl Model {
    /// An attempt during a cooldown is a recovery probe, at most one per minute.
    fn sent(&mut self, cooldown: &Cooldown, now: Instant) {
        if cooldown.until(now).is_some() {
            if let Some(last) = self.probed.replace(now) {
                assert!(now.saturating_duration_since(last) >= MINUTE);
            }
        }
    }

    fn benched(&mut self, request: u16, wait: Option<Duration>) {
        self.refused.insert(request);
        let longest = if self.refused.len() < 2 {
            MINUTE
        } else {
            24 * 60 * MINUTE
        };
        assert!(wait.unwrap_or_default() <= longest, "{wait:?}");
    }
}

/// Refuses or serves an attempt at random.
fn settle(cooldown: &Cooldown, ticket: Ticket, model: &mut Model, now: Instant) {
    let hint = [
        None,
        Some(Duration::ZERO),
        Some(SECOND),
        Some(Duration::MAX),
    ];
    match fastrand::u8(..12) {
        0..3 => {
            cooldown.serve(ticket, now);
            // A success of an older generation leaves the escalation.
            if !cooldown.lock().escalation.is_again(Class::QuotaExhausted) {
                model.refused.clear();
            }
        }
        3..7 => {
            let request = fastrand::u16(1..4);
            let cause = Cause {
                hint: hint[fastrand::usize(..4)],
                ..cause(request)
            };
            let is_credible = fastrand::bool();
            let wait = cooldown.benched(ticket, &cause, now, |is_again| is_again || is_credible);
            model.benched(request, wait);
        }
        7..9 => {
            let refusal = Refusal {
                hint: hint[fastrand::usize(..4)],
                testable: fastrand::bool(),
                took: Some(MILLI),
                ..Refusal::default()
            };
            let wait = cooldown.refused(ticket, refusal, now);
            assert!(wait.unwrap_or_default() <= 24 * 60 * MINUTE);
        }
        9 => cooldown.cancelled(ticket),
        10 => cooldown.released(ticket),
        _ => {
            if ticket.pass == Pass::Recovery {
                model.probed = None;
            }
            cooldown.unsent(ticket);
        }
    }
}

/// Admits, settles and orders at random. The rules hold, and no limit is for ever.
#[tokio::test(start_paused = true)]
async fn random_outcomes_keep_bounds_of_benches_and_probes() {
    let mut steps = 0;
    for seed in 0..200 {
        fastrand::seed(seed);
        let (cooldown, mut now) = (Cooldown::new(), Instant::now());
        let (mut model, mut flying) = (Model::default(), Vec::new());
        for _ in 0..1_000 {
            steps += 1;
            match fastrand::u8(..20) {
                0..8 => {
                    let recovers = fastrand::bool();
                    let cools = cooldown.until(now).is_some();
                    let ticket = match recovers {
                        true => cooldown.try_recover(Occasion::Probe, now),
                        false => cooldown.try_admit(now),
                    };
                    assert!(
                        recovers || !cools || ticket.is_none(),
                        "admitted while cooling"
                    );
                    if ticket.is_some() {
                        model.sent(&cooldown, now);
                    }
                    flying.extend(ticket);
                }
                8..15 if !flying.is_empty() => {
                    let ticket = flying.swap_remove(fastrand::usize(..flying.len()));
                    settle(&cooldown, ticket, &mut model, now);
                }
                15 if fastrand::u8(..10) == 0 => {
                    cooldown.restore(now);
                    model = Model::default();
                }
                16 if fastrand::u8(..10) == 0 => {
                    cooldown.forget(now);
                    model = Model::default();
                }
                17 => now += 100 * SECOND * fastrand::u32(..100),
                _ => now += MILLI * fastrand::u32(..1_000),
            }
        }
        // Attempts in flight are lost, and time alone ends each limit.
        now += 25 * 60 * MINUTE;
        assert_eq!(cooldown.until(now), None, "seed {seed}");
        let probe = (0..3).find_map(|n| cooldown.try_admit(now + 2 * n * MINUTE));
        cooldown.serve(probe.expect("no probe is lost"), now + 4 * MINUTE);
        assert!(cooldown.would_admit(now + 10 * MINUTE), "seed {seed}");
    }
    assert!(steps >= 200_000);
}

/// A server may check a request before the account, so a caller with bad requests must not free a
/// benched endpoint.
#[tokio::test(start_paused = true)]
async fn accepted_probe_does_not_end_a_bench() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    let later = now + refuse(&cooldown, 1, now).expect("a bench");
    for _ in 0..3 {
        let probe = admit(&cooldown, later);
        assert!(!cooldown.would_admit(later), "one at a time");
        cooldown.accepted(probe, later);
    }
    assert_eq!(
        refuse(&cooldown, 2, later),
        Some(2 * MINUTE),
        "it escalates"
    );
}

/// Returns whether a request without another endpoint is admitted as a test.
fn is_tested(cooldown: &Cooldown, now: Instant) -> bool {
    matches!(cooldown.recovery(Occasion::Alone, now), Recovery::At(due) if due <= now)
}

/// A caller with a credential of its own has limits of its own.
#[tokio::test(start_paused = true)]
async fn limits_of_one_caller_are_tested_only_after_a_lone_request() {
    let now = Instant::now();
    for (of_one_caller, requests, expected) in [
        (false, [1, 1], true),
        (false, [1, 2], true),
        (true, [1, 1], true),
        (true, [1, 2], false),
    ] {
        let cooldown = Cooldown::new();
        let cooldown = match of_one_caller {
            true => cooldown.of_one_caller(),
            false => cooldown,
        };
        cooldown.forget(now);
        let now = now + SECOND;
        cooldown.serve(admit(&cooldown, now), now);
        let now = now + MINUTE;
        let flying = admit(&cooldown, now);
        refuse(&cooldown, requests[0], now);
        cooldown.benched(flying, &cause(requests[1]), now, |_| true);
        assert_eq!(is_tested(&cooldown, now), expected, "{requests:?}");

        let limited = Refusal {
            testable: true,
            ..Refusal::default()
        };
        let now = now + 2 * MINUTE;
        let wait = cooldown.refused(admit(&cooldown, now), limited, now);
        assert!(wait.is_some());
        assert_eq!(is_tested(&cooldown, now), !of_one_caller, "a guess");
    }
}

/// A caller with a slow request body could delay all others by the longest patience.
#[tokio::test(start_paused = true)]
async fn slow_probe_of_a_doubtful_limit_leaves_others_served() {
    let now = Instant::now();
    for (hint, took, expected) in [
        (None, 30, true),
        (Some(SECOND), 30, true),
        (Some(MINUTE), 30, false),
    ] {
        let cooldown = Cooldown::new();
        let now = now + SECOND;
        cooldown.serve(admit(&cooldown, now), now);
        let refusal = Refusal {
            hint,
            took: Some(took * SECOND),
            testable: true,
            ..Refusal::default()
        };
        let mut now = now + MINUTE;
        let wait = cooldown.refused(admit(&cooldown, now), refusal, now);
        now += wait.unwrap_or_default();
        let probe = admit(&cooldown, now);
        assert!(cooldown.ready_at(now) > now, "one probe at a time");
        now += SECOND / 4;
        assert_eq!(cooldown.would_admit(now), expected, "{hint:?}");
        let test = cooldown.try_admit(now);
        assert_eq!(test.is_some(), expected, "{hint:?}");
        if let Some(test) = test {
            cooldown.serve(test, now + MILLI);
            assert!(
                cooldown.would_admit(now + MILLI),
                "the probe is no longer awaited"
            );
        }
        cooldown.released(probe);
    }
}

/// An order holds, whatever came before.
#[tokio::test(start_paused = true)]
async fn order_after_a_bench_is_not_tested() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    refuse(&cooldown, 1, now);
    assert!(is_tested(&cooldown, now));
    cooldown.order(MINUTE, now);
    assert!(!is_tested(&cooldown, now));
    assert_eq!(
        cooldown.recovery(Occasion::AloneInService, now),
        Recovery::Never
    );
}

/// Requests that an endpoint rejects for their content used up the tests.
#[tokio::test(start_paused = true)]
async fn only_a_refusal_for_a_limit_uses_up_a_test() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    let served = now + SECOND;
    cooldown.serve(admit(&cooldown, served), served);
    let now = served + MINUTE;
    refuse(&cooldown, 1, now);
    let test = || cooldown.try_recover(Occasion::Alone, now);
    for n in 0..100 {
        let ticket = test().expect("a test");
        match n % 3 {
            0 => cooldown.released(ticket),
            1 => cooldown.accepted(ticket, now),
            _ => cooldown.unsent(ticket),
        }
    }
    let mut refused = 0;
    while let Some(ticket) = test() {
        cooldown.benched(ticket, &cause(2), now, |_| true);
        refused += 1;
    }
    assert_eq!(refused, 10);
    let in_service = || cooldown.try_recover(Occasion::AloneInService, now);
    assert!((0..100).all(|_| in_service().is_some()), "of a bench");
    let later = now + 10 * SECOND;
    let tests = (0..100).filter_map(|_| cooldown.try_recover(Occasion::Alone, later));
    assert_eq!(tests.count(), 10, "no debt");

    // A pool at its quota serves until the next refusal.
    let cooldown = Cooldown::new();
    let limited = Refusal {
        testable: true,
        ..Refusal::default()
    };
    cooldown.refused(admit(&cooldown, now), limited, now);
    let beside_slots = cooldown.try_recover(Occasion::BesideSlots, now);
    assert!(beside_slots.is_none(), "a slot costs no refusal");
    let in_service = || cooldown.try_recover(Occasion::AloneInService, now);
    assert_eq!(std::iter::from_fn(in_service).take(100).count(), 10);
}

/// A caller with a refused request every 50 s kept the endpoint from each recovery probe.
#[tokio::test(start_paused = true)]
async fn recovery_probe_is_not_moved_by_a_test() {
    let cooldown = Cooldown::new();
    let start = Instant::now() + MINUTE;
    assert_eq!(refuse(&cooldown, 1, start - MINUTE), Some(MINUTE));
    assert_eq!(refuse(&cooldown, 2, start), Some(2 * MINUTE));
    let probe = Recovery::At(start + MINUTE);
    for (seconds, is_sent) in [(10, false), (50, true)] {
        let now = start + seconds * SECOND;
        let test = cooldown.try_recover(Occasion::Alone, now).expect("due");
        match is_sent {
            true => drop(cooldown.benched(test, &cause(3), now, |_| true)),
            false => cooldown.unsent(test),
        }
        assert_eq!(cooldown.recovery(Occasion::Probe, now), probe, "{seconds}");
    }
    let now = start + MINUTE;
    let unsent = cooldown.try_recover(Occasion::Probe, now).expect("due");
    cooldown.unsent(unsent);
    assert_eq!(
        cooldown.recovery(Occasion::Probe, now),
        Recovery::At(now),
        "a probe that was not sent is still due"
    );
}

/// Each test with such an answer would have let a probe follow.
#[tokio::test(start_paused = true)]
async fn hint_of_zero_in_a_test_does_not_end_the_cooldown() {
    let now = Instant::now();
    let limited = |hint| Refusal {
        hint,
        testable: true,
        ..Refusal::default()
    };
    for (hint, ends) in [(Duration::ZERO, false), (MILLI, true)] {
        let cooldown = Cooldown::new();
        cooldown.refused(admit(&cooldown, now), limited(None), now);
        let test = cooldown.try_recover(Occasion::Alone, now).expect("due");
        cooldown.refused(test, limited(Some(hint)), now);
        assert_eq!(cooldown.would_admit(now + MILLI), ends, "{hint:?}");
    }
}
