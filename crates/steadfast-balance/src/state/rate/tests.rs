use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Sends at the full rate for a time. Returns the number of attempts.
fn drain(rate: &mut Rate, from: Instant, time: Duration) -> u32 {
    let (mut now, mut sent) = (from, 0);
    while now < from + time {
        while rate.try_send(now) {
            sent += 1;
        }
        now += MILLI;
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn rate_starts_below_known_rate_and_then_grows() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let overdue = 20.0 * 1.16875;
    for (millis, expected) in [
        (0, 19.0),
        (1_500, 20.0),
        (3_000, 21.0),
        (3_750, overdue),
        (4_000, 2.0 * overdue),
        (4_250, 4.0 * overdue),
    ] {
        let at = rate.at(start + millis * MILLI);
        assert!((at - expected).abs() < 1e-9, "{at} after {millis} ms");
    }
    // Without a queue, the rate does not grow further.
    assert!(!rate.is_over(start + 33 * SECOND));
    assert!(rate.is_over(start + 34 * SECOND));
}

/// A rate of one attempt in two seconds was measured while the endpoint refused everything. Early
/// attempts then showed ten attempts per second, and the rate stayed for half a minute.
#[tokio::test(start_paused = true)]
async fn attempts_far_above_known_rate_end_it() {
    for (per_second, over) in [(0.5, true), (5.0, false)] {
        let start = Instant::now();
        let mut rate = Rate::knowing(per_second, start);
        for tenth in 0..9 {
            rate.send(start + tenth * SECOND / 10);
        }
        assert!(!rate.is_over(start + SECOND), "few attempts");
        rate.send(start + SECOND);
        assert_eq!(rate.is_over(start + SECOND), over, "{per_second}");
    }
}

/// The shortest return of 1.5 s is less than a tenth of an attempt at this rate.
#[tokio::test(start_paused = true)]
async fn slow_rate_returns_after_five_attempts() {
    let start = Instant::now();
    let mut rate = Rate::knowing(0.05, start);
    assert!((rate.at(start + 100 * SECOND) - 0.05).abs() < 1e-9);
    assert!(!rate.is_over(start + 849 * SECOND));
    assert!(rate.is_over(start + 850 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn pause_saves_at_most_one_second_of_tokens() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    rate.pause(start, start + SECOND / 2);
    assert_eq!(drain(&mut rate, start + SECOND / 2, MILLI), 9);
    rate.pause(start, start + 100 * SECOND);
    assert_eq!(drain(&mut rate, start + 100 * SECOND, MILLI), 19);
}

#[tokio::test(start_paused = true)]
async fn next_token_is_present_at_reported_instant() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    drain(&mut rate, start, SECOND);
    let now = start + SECOND;
    let next = rate.next(now);
    assert!(next > now && next <= now + SECOND / 19);
    // The rate grows during the wait, so the token is present a little earlier.
    assert!(!rate.try_send(next - MILLI));
    assert!(rate.try_send(next));
}

#[tokio::test(start_paused = true)]
async fn unsent_attempt_returns_token() {
    let start = Instant::now();
    let mut rate = Rate::knowing(1.0, start);
    let now = start + 2 * SECOND;
    let used = rate.used(now);
    assert!(rate.try_send(now) && !rate.try_send(now));
    rate.unsend();
    assert_eq!(rate.used(now), used);
    assert!(rate.try_send(now) && !rate.try_send(now));
}

/// The guess is above the quota. After some refusals the rate equals the quota, and it remains
/// there.
#[tokio::test(start_paused = true)]
async fn rate_converges_to_quota() {
    for (quota, guess) in [(10.0, 20.0), (10.0, 11.0), (100.0, 400.0), (2.0, 8.0)] {
        let start = Instant::now();
        let mut rate = Rate::knowing(guess, start);
        let (mut bucket, mut now, mut refusals) = (0.0, start, 0);
        while now < start + 300 * SECOND {
            now += MILLI;
            bucket = f64::min(bucket + quota / 1_000.0, quota);
            if now < rate.resumed || !rate.try_send(now) {
                continue;
            }
            if bucket >= 1.0 {
                bucket -= 1.0;
                continue;
            }
            refusals += 1;
            rate.refused(false, now);
            rate.pause(now, now + SECOND);
        }
        let known = rate.known().expect("known");
        assert!((0.85..1.1).contains(&(known / quota)), "{known} of {quota}");
        // A refusal is due after twice the return, and costs a pause in this test.
        assert!(refusals < 85, "{refusals} refusals of a quota of {quota}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_after_few_attempts_lowers_rate_slightly() {
    let start = Instant::now();
    let mut rate = Rate::knowing(100.0, start);
    let now = start + 1_500 * MILLI;
    assert!(rate.try_send(now));
    rate.refused(false, now);
    let known = rate.known().expect("known");
    assert!((96.9..97.1).contains(&known), "{known}");
}

#[tokio::test(start_paused = true)]
async fn refusal_lowers_rate_by_at_most_30_percent() {
    let start = Instant::now();
    for sent in [1, 5, 50] {
        let mut rate = Rate::knowing(50.0, start);
        let now = start + 5 * SECOND;
        for _ in 0..sent {
            rate.send(now);
        }
        rate.refused(false, now);
        let known = rate.known().expect("known");
        assert!((35.0..=50.0).contains(&known), "{known}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_right_after_pause_halves_burst() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    for burst in [0.5, 0.25, 0.125, 0.0625, 0.05, 0.05] {
        rate.send(start);
        rate.refused(false, start);
        assert_eq!(rate.burst, burst);
        rate.pause(start, start);
    }
    rate.send(start + SECOND);
    rate.refused(false, start + SECOND);
    assert_eq!(rate.burst, 0.0625);
}

#[tokio::test(start_paused = true)]
async fn unknown_rate_doubles_until_refusal() {
    let start = Instant::now();
    let mut rate = Rate::new(start);
    rate.refused(false, start);
    rate.pause(start, start);
    assert_eq!(rate.known(), None);
    assert_eq!(rate.at(start), 4.0);
    assert_eq!(rate.at(start + 300 * MILLI), 32.0);
    assert!(!rate.is_over(start + 29 * SECOND) && rate.is_over(start + 30 * SECOND));
    assert!(rate.at(start + Duration::MAX / 1_000_000).is_finite());

    let sent = drain(&mut rate, start, 2 * SECOND);
    rate.refused(false, start + 2 * SECOND);
    let known = rate.known().expect("measured");
    assert!(
        (known - f64::from(sent) / 2.0).abs() < 2.0,
        "{known} of {sent}"
    );
}

#[tokio::test(start_paused = true)]
async fn lowest_rate_still_sends() {
    let start = Instant::now();
    let mut rate = Rate::knowing(0.0, start);
    let next = rate.next(start);
    assert!(next <= start + 60 * SECOND);
    assert!(rate.try_send(next + SECOND));
}

#[tokio::test(start_paused = true)]
async fn earlier_instant_adds_no_tokens() {
    let start = Instant::now();
    let mut rate = Rate::knowing(10.0, start);
    let later = start + 10 * SECOND;
    while rate.try_send(later) {}
    assert!(!rate.try_send(start));
    assert!(rate.next(start) > start);
    assert!(!rate.try_send(later));
}

/// An endpoint with little demand does not show a higher quota, so its rate does not grow.
#[tokio::test(start_paused = true)]
async fn unused_rate_does_not_grow() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    // One attempt per second is far below the rate of 20.
    for _ in 0..30 {
        now += SECOND;
        assert!(rate.try_send(now));
    }
    let sent = drain(&mut rate, now + SECOND, MILLI);
    assert!(sent <= 22, "{sent} at once");
    rate.refused(false, now + SECOND);
    let known = rate.known().expect("known");
    assert!((14.0..=22.0).contains(&known), "{known}");
}

/// An API key with a small quota allows 6 or 12 attempts per minute. Each hint is one second.
#[tokio::test(start_paused = true)]
async fn small_quota_is_learned() {
    for (quota, guess) in [(0.2, 1.0), (0.1, 0.4)] {
        let start = Instant::now();
        let mut rate = Rate::knowing(guess, start);
        let (mut bucket, mut now, mut taken, mut refusals) = (0.0, start, 0, 0);
        while now < start + 600 * SECOND {
            now += 10 * MILLI;
            bucket = f64::min(bucket + quota / 100.0, 1.0);
            if now < rate.resumed || !rate.try_send(now) {
                continue;
            }
            if bucket >= 1.0 {
                bucket -= 1.0;
                taken += 1;
                continue;
            }
            refusals += 1;
            rate.refused(false, now);
            rate.pause(now, now + SECOND);
        }
        let known = rate.known().expect("known");
        assert!(known < 1.6 * quota, "{known} of {quota}");
        assert!(
            refusals <= taken / 2,
            "{refusals} refusals, {taken} taken of {quota}"
        );
    }
}

/// Each success reports an exhausted limit for one second, and no attempt is refused.
#[tokio::test(start_paused = true)]
async fn rate_with_pauses_but_without_refusals_is_over() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    for _ in 0..20 {
        rate.pause(now, now + SECOND);
        now += 4 * SECOND;
    }
    assert!(rate.is_over(now));
}

/// One attempt in five seconds is the demand, not the quota.
#[tokio::test(start_paused = true)]
async fn refusal_after_quiet_time_lowers_rate_slightly() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    for _ in 0..13 {
        now += 5 * SECOND;
        assert!(rate.try_send(now));
    }
    rate.refused(false, now);
    let known = rate.known().expect("known");
    assert!(known > 18.0, "{known}");

    let mut unknown = Rate::new(start);
    for seconds in [5, 10] {
        assert!(unknown.try_send(start + seconds * SECOND));
    }
    unknown.refused(false, start + 10 * SECOND);
    assert_eq!(unknown.known(), None);
}

/// If a pause ends early, no instant of the longer pause may remain in the future.
#[tokio::test(start_paused = true)]
async fn pause_ended_early_equals_shorter_pause() {
    let start = Instant::now();
    for sent in [0, 7] {
        let mut rate = Rate::knowing(20.0, start);
        drain(&mut rate, start, sent * SECOND);
        let now = start + sent * SECOND;
        let mut shorter = rate;
        rate.pause(now, now + 60 * SECOND);
        rate.resume(now + 5 * SECOND);
        shorter.pause(now, now + 5 * SECOND);
        assert_eq!(format!("{rate:?}"), format!("{shorter:?}"));

        // A pause in the past cannot end early.
        rate.resume(now + 9 * SECOND);
        assert_eq!(format!("{rate:?}"), format!("{shorter:?}"));
    }
}

/// A header may claim any rate, so the claim counts only until the first measurement. Stepwise
/// corrections of a wrong claim took a hundred refusals.
#[tokio::test(start_paused = true)]
async fn claimed_rate_counts_until_first_measurement() {
    let start = Instant::now();
    for (said, known) in [
        (4_000.0, Some(4_000.0)),
        (1e28, None),
        (f64::INFINITY, None),
        (f64::NAN, None),
        (0.0, Some(LEAST)),
    ] {
        let mut rate = Rate::new(start);
        rate.refused(false, start);
        rate.seed(said);
        assert_eq!(rate.known(), known, "{said}");
        rate.pause(start, start);
        let second = start + Duration::from_secs(1);
        for _ in 0..20 {
            rate.send(second);
        }
        rate.refused(false, second);
        let measured = rate.known().expect("a second and 20 attempts");
        assert!((19.0..=20.0).contains(&measured), "{said}: {measured}");
        rate.seed(said);
        assert_eq!(rate.known(), Some(measured));
    }
}

/// The forecast for waiters must not rely on an unconfirmed claim.
#[tokio::test(start_paused = true)]
async fn refusal_without_measurement_confirms_no_claim() {
    let start = Instant::now();
    let mut rate = Rate::new(start);
    rate.refused(false, start);
    rate.seed(20.0);
    rate.pause(start, start);
    let quiet = start + 30 * SECOND;
    for _ in 0..3 {
        assert!(rate.try_send(quiet));
    }
    rate.refused(false, quiet);
    assert_eq!((rate.known(), rate.confirmed()), (Some(20.0), None));

    rate.pause(quiet, quiet);
    let second = quiet + SECOND;
    for _ in 0..40 {
        rate.send(second);
    }
    rate.refused(false, second);
    let measured = rate.known().expect("a second and 40 attempts");
    assert!((39.0..=40.0).contains(&measured), "{measured}");
}

/// A limit was lifted, and the rate was tested upwards only after 10 to 45 s.
#[tokio::test(start_paused = true)]
async fn lifted_limit_is_found_within_five_seconds() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    rate.confirmed = true;
    let mut now = start;
    while rate.at(now) < 100.0 {
        rate.try_send(now);
        now += MILLI;
        assert!(now < start + 5 * SECOND);
    }
}

/// Without a queue, an overdue rate would grow without a test.
#[tokio::test(start_paused = true)]
async fn overdue_rate_does_not_grow_without_a_queue() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    for _ in 0..400 {
        now += 50 * MILLI;
        rate.try_send(now);
    }
    assert!(rate.at(now) < 30.0, "{}", rate.at(now));
    // A quiet time is no queue either.
    now += 9 * SECOND;
    assert!(!rate.is_over(now) && rate.try_send(now));
    assert!(rate.at(now) < 30.0, "{}", rate.at(now));
}

/// A quota does not refuse attempts below its own rate. Random refusals pushed the rate down.
#[tokio::test(start_paused = true)]
async fn early_refusals_disprove_the_rate_and_due_refusals_do_not() {
    let start = Instant::now();
    for (millis, disproves) in [(200, true), (1_400, false)] {
        let mut rate = Rate::knowing(20.0, start);
        rate.burst = SHORTEST_BURST;
        let mut now = start;
        for _ in 0..4 {
            for _ in 0..millis / 50 {
                now += 50 * MILLI;
                rate.send(now);
            }
            rate.refused(false, now);
            rate.slow_down(now);
        }
        assert_eq!(rate.is_disproved(), disproves, "{millis}");
    }
}

/// Refusals with another cause than a quota come at each rate, and pushed it down.
#[tokio::test(start_paused = true)]
async fn refusals_of_many_attempts_within_the_rate_make_it_futile() {
    let start = Instant::now();
    for (sent, is_futile) in [(3, true), (7, true), (12, false)] {
        let mut rate = Rate::knowing(20.0, start);
        let mut now = start;
        let mut ends = false;
        for _ in 0..20 {
            for _ in 0..sent {
                now += SECOND;
                assert!(rate.try_send(now));
            }
            ends |= rate.is_futile_after_refusal(false);
        }
        assert_eq!(ends, is_futile, "{sent}");
    }
}

/// Early refusals in excess of the disproof would end a rate that a due refusal has just confirmed.
#[tokio::test(start_paused = true)]
async fn early_refusals_of_a_doubtful_rate_wait_for_the_sum() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    rate.burst = SHORTEST_BURST;
    for n in 1..=8 {
        let now = start + n * 200 * MILLI;
        rate.send(now);
        rate.refused(false, now);
        rate.slow_down(now);
    }
    assert_eq!(rate.early, DISPROOF);
    assert!(rate.is_disproved());
    rate.doubt();
    assert!(!rate.is_disproved());
}

/// A claim of the endpoint is no measured rate, and the lowest rate has none below it.
#[tokio::test(start_paused = true)]
async fn claim_and_lowest_rate_are_not_futile() {
    let start = Instant::now();
    let mut claimed = Rate::new(start);
    claimed.seed(20.0);
    for mut rate in [claimed, Rate::knowing(LEAST, start)] {
        for _ in 0..20 {
            assert!(!rate.is_futile_after_refusal(false));
        }
    }
}

/// The rate of a quota that is nearly used up refuses nothing for a minute. Without the rate, the
/// strategies took the endpoint for unlimited, until its next refusals.
#[tokio::test(start_paused = true)]
async fn rate_in_use_is_kept_for_five_minutes() {
    for (interval, kept) in [(55, 300), (200, 30)] {
        let start = Instant::now();
        let mut rate = Rate::knowing(20.0, start);
        let (mut now, mut forgotten) = (start, None);
        while now < start + 400 * SECOND {
            now += interval * MILLI;
            assert!(rate.try_send(now), "18 or 5 of 20 attempts/s");
            forgotten = forgotten.or_else(|| rate.is_over(now).then_some(now));
        }
        let after = forgotten.expect("forgotten") - start;
        let expected = Duration::from_millis(3_750) + kept * SECOND;
        assert!(after >= expected && after < expected + SECOND, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn recent_attempts_are_a_share_of_the_rate_and_fade() {
    let start = Instant::now();
    for known in [0.1, 5.0, 50.0] {
        let mut rate = Rate::knowing(known, start);
        rate.confirmed = true;
        let gap = Duration::from_secs_f64(1.0 / known);
        let mut now = start;
        for _ in 0..4_000 {
            now += gap;
            rate.send(now);
            rate.grows_from = now;
        }
        // The rate after a refusal is 5 % lower, and half of the next attempt counts.
        let used = rate.used(now).expect("known") * (1.0 - 0.3 * 0.05);
        assert!((used - 1.0).abs() < 0.06, "{used} of {known}");
        let later = now + 100 * gap.max(SECOND);
        assert!(rate.used(later).expect("known") < 0.1, "{known}");
    }
    assert_eq!(Rate::new(start).used(start), None);
    let unused = |known| Rate::knowing(known, start).used(start);
    assert!(unused(50.0) < unused(5.0), "the larger rate is first");
}

/// An endpoint with its first rate would get all requests, until it had used as much as the others.
#[tokio::test(start_paused = true)]
async fn first_measured_rate_is_used_up() {
    let start = Instant::now();
    let mut rate = Rate::new(start);
    for n in 0..20_u32 {
        rate.send(start + n * SECOND / 20);
    }
    let now = start + SECOND;
    rate.refused(false, now);
    assert!(rate.used(now).expect("known") >= 0.95);
}
