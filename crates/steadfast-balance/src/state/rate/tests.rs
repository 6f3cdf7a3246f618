use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Sends as fast as the rate allows for a time, and returns how many attempts that were.
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
async fn stays_a_little_below_what_is_known_and_then_grows() {
    let start = Instant::now();
    let rate = Rate::knowing(20.0, start);
    for (seconds, expected) in [(0, 19.0), (5, 20.0), (10, 21.0), (15, 28.0), (20, 47.0)] {
        let at = rate.at(start + seconds * SECOND);
        assert!((at - expected).abs() < 1e-9, "{at} after {seconds} s");
    }
    assert!(!rate.is_over(start + 40 * SECOND - MILLI));
    assert!(rate.is_over(start + 40 * SECOND));
}

/// Five seconds would be no more than a fourth of an attempt.
#[tokio::test(start_paused = true)]
async fn a_slow_rate_takes_its_time() {
    let start = Instant::now();
    let rate = Rate::knowing(0.05, start);
    assert!((rate.at(start + 100 * SECOND) - 0.05).abs() < 1e-9);
    assert!(!rate.is_over(start + 799 * SECOND) && rate.is_over(start + 800 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_was_saved_up_in_a_pause_is_at_most_a_second_of_it() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    rate.pause(start, start + SECOND / 2);
    assert_eq!(drain(&mut rate, start + SECOND / 2, MILLI), 9);
    rate.pause(start, start + 100 * SECOND);
    assert_eq!(drain(&mut rate, start + 100 * SECOND, MILLI), 19);
}

#[tokio::test(start_paused = true)]
async fn the_next_token_is_there_when_it_says() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    drain(&mut rate, start, SECOND);
    let now = start + SECOND;
    let next = rate.next(now);
    assert!(next > now && next <= now + SECOND / 19);
    // It grows while it is waited for, so the token comes a little sooner.
    assert!(!rate.try_send(next - MILLI));
    assert!(rate.try_send(next));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_not_used_comes_back() {
    let start = Instant::now();
    let mut rate = Rate::knowing(1.0, start);
    let now = start + 2 * SECOND;
    assert!(rate.try_send(now) && !rate.try_send(now));
    rate.unsend();
    assert!(rate.try_send(now) && !rate.try_send(now));
}

/// A quota of ten a second, and a guess that was twice as high: after some refusals the rate is
/// that of the quota, and it stays there.
#[tokio::test(start_paused = true)]
async fn converges_to_what_the_endpoint_takes() {
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
            rate.refused(now);
            rate.pause(now, now + SECOND);
        }
        let known = rate.known().expect("known");
        assert!((0.85..1.1).contains(&(known / quota)), "{known} of {quota}");
        assert!(refusals < 60, "{refusals} refusals of a quota of {quota}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_few_attempts_takes_little() {
    let start = Instant::now();
    let mut rate = Rate::knowing(100.0, start);
    let now = start + 5 * SECOND;
    assert!(rate.try_send(now));
    rate.refused(now);
    let known = rate.known().expect("known");
    assert!((96.9..97.1).contains(&known), "{known}");
}

#[tokio::test(start_paused = true)]
async fn no_refusal_raises_a_rate_or_takes_more_than_a_third() {
    let start = Instant::now();
    for sent in [1, 5, 50] {
        let mut rate = Rate::knowing(50.0, start);
        let now = start + 5 * SECOND;
        for _ in 0..sent {
            rate.send(now);
        }
        rate.refused(now);
        let known = rate.known().expect("known");
        assert!((35.0..=50.0).contains(&known), "{known}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_is_refused_right_after_a_pause_is_smaller_the_next_time() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    for burst in [0.5, 0.25, 0.125, 0.0625, 0.05, 0.05] {
        rate.send(start);
        rate.refused(start);
        assert_eq!(rate.burst, burst);
        rate.pause(start, start);
    }
    rate.send(start + SECOND);
    rate.refused(start + SECOND);
    assert_eq!(rate.burst, 0.0625);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_rate_doubles_until_it_is_refused() {
    let start = Instant::now();
    let mut rate = Rate::new(start);
    rate.refused(start);
    rate.pause(start, start);
    assert_eq!(rate.known(), None);
    assert_eq!(rate.at(start), 4.0);
    assert_eq!(rate.at(start + 300 * MILLI), 32.0);
    assert!(!rate.is_over(start + 999 * MILLI) && rate.is_over(start + SECOND));
    assert!(rate.at(start + Duration::MAX / 1_000_000).is_finite());

    let sent = drain(&mut rate, start, 2 * SECOND);
    rate.refused(start + 2 * SECOND);
    let known = rate.known().expect("measured");
    assert!(
        (known - f64::from(sent) / 2.0).abs() < 2.0,
        "{known} of {sent}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_rate_is_so_low_that_it_never_sends() {
    let start = Instant::now();
    let mut rate = Rate::knowing(0.0, start);
    let next = rate.next(start);
    assert!(next <= start + 60 * SECOND);
    assert!(rate.try_send(next + SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_brings_nothing() {
    let start = Instant::now();
    let mut rate = Rate::knowing(10.0, start);
    let later = start + 10 * SECOND;
    while rate.try_send(later) {}
    assert!(!rate.try_send(start));
    assert!(rate.next(start) > start);
    assert!(!rate.try_send(later));
}

/// A batch, and a stream that is refused in its middle a minute later: the rate was over by then.
#[tokio::test(start_paused = true)]
async fn a_rate_that_nobody_needs_does_not_grow() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    // One attempt a second, which is far less than it could be.
    for _ in 0..30 {
        now += SECOND;
        assert!(rate.try_send(now));
    }
    let sent = drain(&mut rate, now + SECOND, MILLI);
    assert!(sent <= 22, "{sent} at once");
    rate.refused(now + SECOND);
    let known = rate.known().expect("known");
    assert!((14.0..=22.0).contains(&known), "{known}");
}

/// A key of the free tier: a few requests a minute, and refusals with whole seconds.
#[tokio::test(start_paused = true)]
async fn a_small_quota_is_found_too() {
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
            rate.refused(now);
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

/// Each success says that nothing remains for a second, and nothing is ever refused.
#[tokio::test(start_paused = true)]
async fn pauses_without_a_refusal_keep_no_rate_alive() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    for _ in 0..20 {
        rate.pause(now, now + SECOND);
        now += 4 * SECOND;
    }
    assert!(rate.is_over(now));
}

/// One attempt in five seconds is what was asked for, and not what could be taken.
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_quiet_time_takes_little_however_long_that_was() {
    let start = Instant::now();
    let mut rate = Rate::knowing(20.0, start);
    let mut now = start;
    for _ in 0..13 {
        now += 5 * SECOND;
        assert!(rate.try_send(now));
    }
    rate.refused(now);
    let known = rate.known().expect("known");
    assert!(known > 19.0, "{known}");

    let mut unknown = Rate::new(start);
    for seconds in [5, 10] {
        assert!(unknown.try_send(start + seconds * SECOND));
    }
    unknown.refused(start + 10 * SECOND);
    assert_eq!(unknown.known(), None);
}

/// The instants of a pause that was planned for longer must not lie ahead.
#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_early_is_a_shorter_pause() {
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

        // What is over cannot end early.
        rate.resume(now + 9 * SECOND);
        assert_eq!(format!("{rate:?}"), format!("{shorter:?}"));
    }
}

/// A header may say anything. It counts until the first measurement, which took a hundred refusals
/// to get down from a wrong one.
#[tokio::test(start_paused = true)]
async fn what_an_endpoint_says_counts_until_it_was_measured() {
    let start = Instant::now();
    for (said, known) in [
        (4_000.0, Some(4_000.0)),
        (1e28, None),
        (f64::INFINITY, None),
        (f64::NAN, None),
        (0.0, Some(LEAST)),
    ] {
        let mut rate = Rate::new(start);
        rate.refused(start);
        rate.seed(said);
        assert_eq!(rate.known(), known, "{said}");
        rate.pause(start, start);
        let second = start + Duration::from_secs(1);
        for _ in 0..20 {
            rate.send(second);
        }
        rate.refused(second);
        let measured = rate.known().expect("a second and 20 attempts");
        assert!((19.0..=20.0).contains(&measured), "{said}: {measured}");
        rate.seed(said);
        assert_eq!(rate.known(), Some(measured));
    }
}

/// Nobody is notify_waiters away for what was only said.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_which_nothing_can_be_measured_confirms_no_claim() {
    let start = Instant::now();
    let mut rate = Rate::new(start);
    rate.refused(start);
    rate.seed(20.0);
    rate.pause(start, start);
    let quiet = start + 30 * SECOND;
    for _ in 0..3 {
        assert!(rate.try_send(quiet));
    }
    rate.refused(quiet);
    assert_eq!((rate.known(), rate.confirmed()), (Some(20.0), None));

    rate.pause(quiet, quiet);
    let second = quiet + SECOND;
    for _ in 0..40 {
        rate.send(second);
    }
    rate.refused(second);
    let measured = rate.known().expect("a second and 40 attempts");
    assert!((39.0..=40.0).contains(&measured), "{measured}");
}
