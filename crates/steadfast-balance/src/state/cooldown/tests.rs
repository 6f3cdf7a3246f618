use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn refusal(hint: Option<Duration>, took: Option<Duration>) -> Refusal {
    Refusal {
        hint,
        took,
        ..Refusal::default()
    }
}

impl Cooldown {
    /// Records a success at an age of the pool that agrees with the ticket.
    pub(crate) fn serve(&self, ticket: Ticket, now: Instant) -> bool {
        let age = ticket.sent.saturating_duration_since(self.origin);
        self.served(ticket.stub(), self.born + age) && self.succeeded(ticket, now)
    }
}

fn admit(cooldown: &Cooldown, now: Instant) -> Ticket {
    assert!(cooldown.would_admit(now));
    cooldown.try_admit(now).expect("admitted")
}

/// Creates a cooldown of one second. Returns it with the instant at which it ends.
pub(crate) fn cooled(start: Instant) -> (Cooldown, Instant) {
    let cooldown = Cooldown::new();
    let ticket = admit(&cooldown, start);
    let wait = cooldown.refused(ticket, refusal(Some(SECOND), Some(Duration::ZERO)), start);
    assert_eq!(wait, Some(SECOND));
    (cooldown, start + SECOND)
}

/// Creates a cooldown of one second with a known send rate.
fn learned(per_second: f64, start: Instant) -> (Cooldown, Instant) {
    let (cooldown, now) = cooled(start);
    let mut state = cooldown.lock();
    state.rate = Rate::knowing(per_second, start);
    state.rate.pause(start, now);
    drop(state);
    (cooldown, now)
}

/// Gives a cooldown without a limit a measured send rate of 1/s, and no token at `now`.
pub(crate) fn pace(cooldown: &Cooldown, now: Instant) {
    learn(cooldown, 1.0, now);
    admits(cooldown, now);
}

/// Gives a cooldown without a limit a measured send rate, and the tokens of a second at `now`.
pub(crate) fn learn(cooldown: &Cooldown, per_second: f64, now: Instant) {
    let (start, back) = (now - 2 * SECOND, now - SECOND);
    let first = admit(cooldown, start);
    cooldown.refused(first, refusal(Some(SECOND), Some(Duration::ZERO)), start);
    let mut state = cooldown.lock();
    state.rate = Rate::knowing(per_second, start);
    state.rate.pause(start, back);
    drop(state);
    let probe = admit(cooldown, back);
    assert!(cooldown.serve(probe, back));
}

fn admits(cooldown: &Cooldown, now: Instant) -> usize {
    std::iter::from_fn(|| cooldown.try_admit(now))
        .take(1_000)
        .count()
}

#[tokio::test(start_paused = true)]
async fn burst_of_refusals_begins_one_cooldown() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    let burst = [(); 5].map(|()| admit(&cooldown, now));

    let refuse = |ticket, wait| cooldown.refused(ticket, refusal(Some(wait), None), now);
    assert_eq!(refuse(burst[0], SECOND), Some(SECOND));
    for ticket in &burst[1..] {
        assert_eq!(refuse(*ticket, 60 * SECOND), None);
    }
    assert_eq!(cooldown.until(now), Some(now + SECOND));
    assert_eq!(cooldown.ready_at(now), now + SECOND);
    assert!(cooldown.try_admit(now).is_none());
    assert!(!cooldown.would_admit(now));
}

#[tokio::test(start_paused = true)]
async fn older_success_does_not_change_cooldown() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    let (older, refused) = (admit(&cooldown, now), admit(&cooldown, now));
    cooldown.refused(refused, refusal(Some(SECOND), None), now);
    assert!(!cooldown.serve(older, now));
    assert_eq!(cooldown.spent(older, 9 * SECOND, now), None);
    assert!(cooldown.try_admit(now).is_none());
}

#[tokio::test(start_paused = true)]
async fn accepted_probe_admits_attempts_at_send_rate() {
    let (cooldown, now) = learned(20.0, Instant::now());
    let probe = admit(&cooldown, now);
    assert!(cooldown.try_admit(now).is_none());
    assert!(cooldown.serve(probe, now), "it is back");
    // The pause saved one second of the send rate, 19 tokens. The probe took one.
    assert_eq!(admits(&cooldown, now), 18);
    assert_eq!(admits(&cooldown, now + SECOND), 19);
    assert!(!cooldown.would_admit(now + SECOND));
    let next = cooldown.ready_at(now + SECOND);
    assert!(next > now + SECOND && cooldown.would_admit(next + Duration::from_nanos(100)));
}

/// The response of a model is slow, but a refusal is fast.
#[tokio::test(start_paused = true)]
async fn probe_without_refusal_within_patience_is_accepted() {
    let start = Instant::now();
    let cooldown = Cooldown::new();
    let ticket = admit(&cooldown, start);
    // The refusal takes 100 ms, so the patience is 200 ms.
    let refused = start + SECOND / 10;
    cooldown.refused(ticket, refusal(Some(SECOND), Some(SECOND / 10)), refused);
    let now = refused + SECOND;
    let probe = admit(&cooldown, now);
    let accepted = now + SECOND / 5;
    assert_eq!(cooldown.ready_at(now), accepted);
    assert!(
        cooldown
            .try_admit(accepted - Duration::from_nanos(1))
            .is_none()
    );
    assert!(cooldown.try_admit(accepted).is_some());
    assert!(
        cooldown.serve(probe, accepted),
        "it was the first to succeed"
    );
    assert!(!cooldown.serve(probe, accepted));
}

#[tokio::test(start_paused = true)]
async fn patience_is_bounded() {
    let start = Instant::now();
    for (took, patience) in [(0, 50), (20, 50), (1_000, 2_000), (90_000, 60_000)] {
        let cooldown = Cooldown::new();
        let ticket = admit(&cooldown, start);
        let refused = start + Duration::from_millis(took);
        let took = Duration::from_millis(took);
        cooldown.refused(ticket, refusal(Some(SECOND), Some(took)), refused);
        let now = refused + SECOND;
        admit(&cooldown, now);
        assert_eq!(
            cooldown.ready_at(now),
            now + Duration::from_millis(patience)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rate_without_refusals_is_forgotten() {
    let (cooldown, now) = learned(20.0, Instant::now());
    let probe = admit(&cooldown, now);
    cooldown.serve(probe, now);
    assert_eq!(cooldown.rate(), Some(20.0));
    let now = now + 40 * SECOND;
    assert_eq!(admits(&cooldown, now), 1_000);
    assert_eq!(cooldown.rate(), None);
    assert_eq!(
        cooldown.try_admit(now).map(|ticket| ticket.pass),
        Some(Pass::Free)
    );
}

#[tokio::test(start_paused = true)]
async fn released_or_unsent_probe_frees_slot() {
    let (cooldown, now) = cooled(Instant::now());
    for give_back in [Cooldown::released, Cooldown::unsent] {
        let probe = admit(&cooldown, now);
        assert!(cooldown.try_admit(now).is_none());
        give_back(&cooldown, probe);
    }
    assert!(cooldown.try_admit(now).is_some());
}

#[tokio::test(start_paused = true)]
async fn unsent_attempt_returns_token() {
    let (cooldown, now) = learned(2.0, Instant::now());
    cooldown.serve(admit(&cooldown, now), now);
    let now = now + SECOND;
    let ticket = admit(&cooldown, now);
    assert!(cooldown.try_admit(now).is_none());
    cooldown.released(ticket);
    assert!(cooldown.try_admit(now).is_none(), "it was sent");
    cooldown.unsent(ticket);
    assert!(cooldown.try_admit(now).is_some());
}

#[tokio::test(start_paused = true)]
async fn attempt_of_older_generation_changes_nothing() {
    let (cooldown, now) = cooled(Instant::now());
    let older = admit(&cooldown, now);
    // The older attempt is still in flight while the next one is refused.
    let now = now + SECOND;
    cooldown.refused(admit(&cooldown, now), refusal(Some(SECOND), None), now);
    let now = now + SECOND;
    admit(&cooldown, now);

    cooldown.released(older);
    cooldown.unsent(older);
    assert!(cooldown.try_admit(now).is_none());
    assert!(!cooldown.serve(older, now));
    assert!(cooldown.try_admit(now).is_none());
    assert_eq!(cooldown.refused(older, refusal(None, None), now), None);
}

#[tokio::test(start_paused = true)]
async fn cooldown_without_hint_doubles_only_if_probe_is_refused() {
    let mut now = Instant::now();
    let cooldown = Cooldown::new();
    let refuse = |ticket, now| cooldown.refused(ticket, refusal(None, None), now);
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = refuse(admit(&cooldown, now), now);
        assert_eq!(wait, Some(expected * SECOND));
        now += expected * SECOND;
    }
    cooldown.serve(admit(&cooldown, now), now);
    now += SECOND;
    let wait = refuse(admit(&cooldown, now), now);
    assert_eq!(wait, Some(SECOND), "it had recovered");
}

/// A streak of refused probes does not measure the send rate.
#[tokio::test(start_paused = true)]
async fn refused_probe_keeps_rate() {
    let (cooldown, mut now) = learned(20.0, Instant::now());
    for _ in 0..10 {
        cooldown.refused(admit(&cooldown, now), refusal(Some(SECOND), None), now);
        now += SECOND;
    }
    assert_eq!(cooldown.rate(), Some(20.0));
}

#[tokio::test(start_paused = true)]
async fn longest_hint_is_cut_to_max_cooldown() {
    let now = Instant::now();
    let cooldown = Cooldown::new();
    let ticket = admit(&cooldown, now);
    let wait = cooldown.refused(ticket, refusal(Some(Duration::MAX), None), now);
    assert_eq!(wait, Some(MAX_COOLDOWN));
}

/// The send rate is forgotten before the refusal arrives, as in a stream that breaks midway.
#[tokio::test(start_paused = true)]
async fn late_refusal_teaches_no_rate() {
    for known in [None, Some(20.0)] {
        let start = Instant::now();
        let (cooldown, now) = known.map_or_else(|| cooled(start), |rate| learned(rate, start));
        cooldown.serve(admit(&cooldown, now), now);
        let ticket = admit(&cooldown, now);
        let late = now + 600 * SECOND;
        cooldown.refused(ticket, refusal(Some(SECOND), None), late);
        assert_eq!(cooldown.rate(), None, "{known:?}");
    }
}

/// The probe has no response, and no attempt follows for a minute. The next success still reports
/// the return of the endpoint.
#[tokio::test(start_paused = true)]
async fn first_success_of_any_attempt_is_reported() {
    let (cooldown, now) = cooled(Instant::now());
    admit(&cooldown, now);
    let now = now + 60 * SECOND;
    let ticket = admit(&cooldown, now);
    assert!(cooldown.serve(ticket, now));
    let ticket = admit(&cooldown, now);
    assert!(!cooldown.serve(ticket, now));
}

// ===== evidence =====

const MILLI: Duration = Duration::from_millis(1);

/// A pass that a stub does not keep counts as another kind of attempt: recovery probes ended long
/// cooldowns as if the hint had passed.
#[tokio::test(start_paused = true)]
async fn stub_keeps_pass_and_generation() {
    let sent = Instant::now();
    let passes = [
        Pass::Free,
        Pass::Paced,
        Pass::Probe,
        Pass::Recovery,
        Pass::Early,
    ];
    for pass in passes {
        for generation in [0, 1, GENERATIONS - 1] {
            let ticket = Ticket {
                generation,
                pass,
                sent,
                sender: Sender::default(),
            };
            assert_eq!(ticket.stub().at(sent), ticket);
        }
    }
}

fn limited(hint: Duration) -> Refusal {
    Refusal {
        hint: Some(hint),
        testable: true,
        ..Refusal::default()
    }
}

/// A random refusal stopped an endpoint that served all other attempts.
#[tokio::test(start_paused = true)]
async fn success_of_later_attempt_contradicts_refusal() {
    let start = Instant::now();
    let cooldown = Cooldown::new();
    let refused = admit(&cooldown, start);
    let later = admit(&cooldown, start + 10 * MILLI);
    let now = start + 50 * MILLI;
    assert!(!cooldown.serve(later, now));
    assert_eq!(cooldown.refused(refused, limited(SECOND), now), None);
    assert!(!cooldown.is_busy());
}

#[tokio::test(start_paused = true)]
async fn later_success_revokes_provisional_cooldown() {
    let start = Instant::now();
    let cooldown = Cooldown::new();
    let refused = admit(&cooldown, start);
    let later = admit(&cooldown, start + 10 * MILLI);
    let now = start + 30 * MILLI;
    assert_eq!(
        cooldown.refused(refused, limited(SECOND), now),
        Some(SECOND)
    );
    assert!(cooldown.try_admit(now).is_none());
    assert!(cooldown.serve(later, now + 30 * MILLI), "the cooldown ends");
    assert!(!cooldown.is_busy());
}

#[tokio::test(start_paused = true)]
async fn refusal_of_later_attempt_confirms_cooldown() {
    let start = Instant::now();
    let cooldown = Cooldown::new();
    let sent = [0, 1, 2].map(|ms| admit(&cooldown, start + ms * MILLI));
    let now = start + 30 * MILLI;
    assert_eq!(
        cooldown.refused(sent[0], limited(SECOND), now),
        Some(SECOND)
    );
    assert_eq!(cooldown.refused(sent[1], limited(SECOND), now), None);
    assert!(!cooldown.serve(sent[2], now + MILLI), "one of two");
    assert_eq!(cooldown.until(now), Some(now + SECOND));
}

/// A quota that serves a share of the attempts is a quota. The share decides, not one success.
#[tokio::test(start_paused = true)]
async fn share_of_refused_tests_decides() {
    let start = Instant::now();
    for (one_of, begins) in [(2, true), (20, false)] {
        let cooldown = Cooldown::new();
        let mut began = None;
        for n in 0..100u32 {
            let now = start + n * 10 * MILLI;
            let Some(ticket) = cooldown.try_admit(now) else {
                continue;
            };
            if n % one_of == one_of - 1 {
                began = cooldown
                    .refused(ticket, limited(SECOND), now + MILLI)
                    .or(began);
            } else {
                cooldown.serve(ticket, now + MILLI);
            }
        }
        assert_eq!(began.is_some(), begins, "one of {one_of}");
    }
}

/// Without any evidence the next attempt is the test, if the endpoint has served attempts.
#[tokio::test(start_paused = true)]
async fn first_refusal_after_successes_is_tested_by_next_attempt() {
    let start = Instant::now();
    for is_random in [true, false] {
        let cooldown = Cooldown::new();
        cooldown.serve(admit(&cooldown, start + SECOND), start + SECOND);
        let refused = admit(&cooldown, start + 2 * SECOND);
        let now = start + 2 * SECOND + 50 * MILLI;
        assert_eq!(cooldown.refused(refused, limited(SECOND), now), None);
        let test = admit(&cooldown, now);
        assert!(cooldown.try_admit(now).is_none(), "one test at a time");
        if is_random {
            cooldown.serve(test, now + MILLI);
            assert!(!cooldown.is_busy());
        } else {
            let wait = cooldown.refused(test, limited(SECOND), now + MILLI);
            assert_eq!(wait, Some(SECOND));
        }
    }
}

/// A refusal that is due lowers the rate without a pause.
#[tokio::test(start_paused = true)]
async fn due_refusal_lowers_rate_without_cooldown() {
    let start = Instant::now();
    let (cooldown, mut now) = learned(20.0, start);
    let probe = admit(&cooldown, now);
    cooldown.serve(probe, now);
    let mut last = probe;
    for _ in 0..60 {
        now += 50 * MILLI;
        last = cooldown.try_admit(now).unwrap_or(last);
    }
    assert_eq!(cooldown.refused(last, limited(SECOND), now), None);
    assert_eq!(cooldown.until(now), None);
    let rate = cooldown.rate().expect("known");
    assert!((15.0..=21.0).contains(&rate), "{rate}");
    // A hint beyond a rounding error is not ignored.
    for _ in 0..60 {
        now += 50 * MILLI;
        last = cooldown.try_admit(now).unwrap_or(last);
    }
    let wait = cooldown.refused(last, limited(30 * SECOND), now);
    assert_eq!(wait, Some(30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn endpoint_without_rate_is_free_after_one_probe() {
    let start = Instant::now();
    let cooldown = Cooldown::new().without_rate();
    let ticket = admit(&cooldown, start);
    let wait = cooldown.refused(ticket, limited(SECOND), start);
    assert_eq!(wait, Some(SECOND));
    let now = start + SECOND;
    let probe = admit(&cooldown, now);
    assert!(cooldown.try_admit(now).is_none());
    assert!(cooldown.serve(probe, now));
    assert!(!cooldown.is_busy());
    assert_eq!(cooldown.rate(), None);
}

/// The state of a limit key is created after the instant of its first attempt. A first refusal
/// counted as contradicted, so on the real clock no key of a new endpoint cooled.
#[tokio::test(start_paused = true)]
async fn refusal_of_attempt_before_creation_begins_cooldown() {
    let start = Instant::now();
    tokio::time::advance(MILLI).await;
    let cooldown = Cooldown::new();
    let ticket = admit(&cooldown, start);
    let wait = cooldown.refused(ticket, limited(60 * SECOND), start + 2 * MILLI);
    assert_eq!(wait, Some(60 * SECOND));
}

/// A claim of one second held for the attempt that ended its cooldown. The success of this attempt
/// counted against the quota, which then had no send rate for seconds.
#[tokio::test(start_paused = true)]
async fn attempt_after_cooldown_of_burst_is_no_test_of_its_refusals() {
    for gap in [Duration::ZERO, 20 * MILLI] {
        let start = Instant::now();
        let cooldown = Cooldown::new();
        let burst = [(); 2].map(|()| admit(&cooldown, start));
        cooldown.refused(burst[0], limited(SECOND), start + MILLI);
        cooldown.refused(burst[1], limited(SECOND), start + MILLI + gap);
        let mut now = start + SECOND + MILLI;
        for _ in 0..10 {
            let ticket = admit(&cooldown, now);
            cooldown.serve(ticket, now + MILLI);
            now += 250 * MILLI;
        }
        let refused = admit(&cooldown, now);
        cooldown.refused(refused, limited(SECOND), now + MILLI);
        assert!(cooldown.rate().is_some(), "{gap:?}");
    }
}

/// The waiters of an endpoint waited for half a second after each cooldown, because a rate without
/// a measurement grows from a few attempts per second.
#[tokio::test(start_paused = true)]
async fn early_attempts_test_unknown_rate_but_no_claimed_one() {
    for is_claimed in [false, true] {
        let (cooldown, now) = cooled(Instant::now());
        if is_claimed {
            cooldown.lock().rate.seed(4.0);
        }
        let probe = admit(&cooldown, now);
        assert!(cooldown.serve(probe, now + MILLI));
        admits(&cooldown, now + MILLI);
        let early = cooldown.try_admit_early(now, now + 2 * MILLI);
        assert_eq!(early.is_none(), is_claimed);
    }
}

/// Returns a cooldown in the phase `Paced` with a measured rate of 20/s and no token, and its time.
pub(crate) fn paced() -> (Cooldown, Instant) {
    let (cooldown, now) = learned(20.0, Instant::now());
    let probe = admit(&cooldown, now);
    assert!(cooldown.serve(probe, now + MILLI));
    admits(&cooldown, now + MILLI);
    (cooldown, now + MILLI)
}

/// A request waited for the rate although its endpoint served each attempt.
#[tokio::test(start_paused = true)]
async fn early_attempt_comes_before_the_next_token() {
    let (cooldown, now) = paced();
    let (ready, cools) = cooldown.readiness(Some(now), now + MILLI);
    assert_eq!((ready, cools), (now + MILLI, false));
    assert!(cooldown.readiness(None, now + MILLI).0 > now + 40 * MILLI);
    assert!(!cooldown.would_admit(now + MILLI));
    let early = cooldown.try_admit_early(now, now + MILLI).expect("early");
    assert!(
        cooldown.try_admit_early(now, now + MILLI).is_none(),
        "one is in flight"
    );
    assert!(!cooldown.serve(early, now + 2 * MILLI));
    assert!(cooldown.try_admit_early(now, now + 2 * MILLI).is_some());
}

/// Regular attempts in shorter intervals than half a latency prevented each early one, although the
/// requests waited for seconds.
#[tokio::test(start_paused = true)]
async fn early_attempt_depends_on_the_wait_of_its_request() {
    let (cooldown, now) = learned(20.0, Instant::now());
    let probe = admit(&cooldown, now);
    assert!(cooldown.serve(probe, now + SECOND));
    let (came, now) = (now, now + 10 * SECOND);
    admits(&cooldown, now);
    let (ready, _) = cooldown.readiness(Some(now), now);
    assert!(ready > now, "a new request waits for the token");
    assert!(cooldown.try_admit_early(now, now).is_none());
    // Eight latencies of one second.
    assert!(cooldown.readiness(Some(came + 3 * SECOND), now).0 > now);
    assert_eq!(cooldown.readiness(Some(came), now).0, now);
    assert!(cooldown.try_admit_early(came, now).is_some());
}

/// After an outage of ten seconds, an endpoint with a backlog got no early attempt for five.
#[tokio::test(start_paused = true)]
async fn success_after_refused_probes_ends_delay_of_early_attempts() {
    for (refused, waits) in [(1, false), (0, true)] {
        let (cooldown, now) = paced();
        let delayed = |state: &mut State, now| state.early.hold(60 * SECOND, now);
        let mut now = now + SECOND;
        let last = admit(&cooldown, now);
        now += MILLI;
        cooldown.refused(last, limited(30 * SECOND), now);
        for _ in 0..refused {
            now += 30 * SECOND;
            let probe = admit(&cooldown, now);
            cooldown.refused(probe, limited(30 * SECOND), now);
        }
        delayed(&mut cooldown.lock(), now);
        now += 30 * SECOND;
        let probe = admit(&cooldown, now);
        assert!(cooldown.serve(probe, now + MILLI));
        admits(&cooldown, now + MILLI);
        let (ready, _) = cooldown.readiness(Some(now - 30 * SECOND), now + MILLI);
        assert_eq!(ready > now + MILLI, waits, "{refused} refused probes");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_early_attempt_starts_no_cooldown_and_keeps_the_rate() {
    let (cooldown, now) = paced();
    let known = cooldown.rate();
    let early = cooldown.try_admit_early(now, now + MILLI).expect("early");
    let wait = cooldown.refused(early, limited(SECOND), now + 2 * MILLI);
    assert_eq!((wait, cooldown.rate()), (None, known));
    assert_eq!(cooldown.until(now + 2 * MILLI), None);
    assert!(cooldown.try_admit_early(now, now + 3 * MILLI).is_none());
    // A longer hint is no rounded one.
    let (cooldown, now) = paced();
    let early = cooldown.try_admit_early(now, now + MILLI).expect("early");
    let wait = cooldown.refused(early, limited(30 * SECOND), now + 2 * MILLI);
    assert_eq!(wait, Some(30 * SECOND));
    assert!(cooldown.try_admit_early(now, now + 29 * SECOND).is_none());
}

/// It was in flight when another refusal lowered the rate, so it is no news, whatever its hint.
#[tokio::test(start_paused = true)]
async fn early_attempt_from_before_lower_rate_releases_its_position() {
    let (cooldown, now) = paced();
    let early = cooldown.try_admit_early(now, now + MILLI).expect("early");
    cooldown.lock().lowered = now + MILLI;
    let wait = cooldown.refused(early, limited(30 * SECOND), now + 2 * MILLI);
    assert_eq!(wait, None);
    assert!(cooldown.try_admit_early(now, now + 2 * MILLI).is_some());
}

/// Such refusals cost nothing, so an overload could send early attempts without a bound.
#[tokio::test(start_paused = true)]
async fn contradicted_refusal_of_an_early_attempt_delays_the_next_one() {
    let (cooldown, now) = paced();
    cooldown.lock().evidence.disprove_rate();
    let early = cooldown.try_admit_early(now, now + MILLI).expect("early");
    let wait = cooldown.refused(early, limited(30 * SECOND), now + 2 * MILLI);
    assert_eq!(wait, None);
    assert!(cooldown.try_admit_early(now, now + 3 * MILLI).is_none());
}

/// A first rate counted the refused attempts too. Under an overload, it was five times the quota.
#[tokio::test(start_paused = true)]
async fn contradicted_refusals_do_not_count_in_the_first_rate() {
    let (cooldown, mut now) = cooled(Instant::now());
    let probe = admit(&cooldown, now);
    assert!(cooldown.serve(probe, now));
    cooldown.lock().evidence.disprove_rate();
    for n in 0..20 {
        now += 50 * MILLI;
        let ticket = admit(&cooldown, now);
        if n % 4 == 0 {
            assert_eq!(cooldown.refused(ticket, limited(SECOND), now), None);
        } else {
            cooldown.serve(ticket, now);
        }
    }
    let mut state = cooldown.lock();
    state.rate.refused(false, now);
    // The probe and 15 others, of which the last one counts half, in two seconds.
    assert_eq!(state.rate.known(), Some(15.5 / 2.0));
}

/// A window that ends after 30 ms has a hint of a whole second.
#[tokio::test(start_paused = true)]
async fn served_early_attempt_ends_cooldown_of_rounded_hint() {
    let (cooldown, now) = paced();
    let paced = admit(&cooldown, now + 60 * MILLI);
    let now = now + 70 * MILLI;
    assert_eq!(cooldown.refused(paced, limited(SECOND), now), Some(SECOND));
    let (ready, cools) = cooldown.readiness(Some(now), now);
    assert!(!cools && ready > now && ready < now + 100 * MILLI);
    assert_eq!(cooldown.readiness(None, now), (now + SECOND, true));
    let early = cooldown.try_admit_early(now, ready).expect("early");
    assert!(cooldown.serve(early, ready + MILLI), "it is back");
    assert_eq!(cooldown.until(ready + MILLI), None);
}

/// A reservation of a dropped request would block all later early attempts.
#[tokio::test(start_paused = true)]
async fn dropped_early_attempt_releases_its_position() {
    let (cooldown, now) = paced();
    let releases = [Cooldown::unsent, Cooldown::released];
    for (n, release) in (1..).zip(releases) {
        let early = cooldown
            .try_admit_early(now, now + n * MILLI)
            .expect("early");
        assert!(cooldown.try_admit(now + n * MILLI).is_none(), "no token");
        release(&cooldown, early);
        assert!(cooldown.try_admit(now + n * MILLI).is_none(), "no token");
    }
    assert!(cooldown.try_admit_early(now, now + 4 * MILLI).is_some());
}

/// A caller that cancels each request before its refusal would send early attempts without a bound,
/// and use up the quota of others.
#[tokio::test(start_paused = true)]
async fn cancelled_early_attempt_keeps_its_position_for_the_patience() {
    let (cooldown, now) = paced();
    let early = cooldown.try_admit_early(now, now + MILLI).expect("early");
    cooldown.cancelled(early);
    let patience = cooldown.lock().patience;
    let freed = now + MILLI + patience;
    assert!(cooldown.try_admit_early(now, freed - MILLI).is_none());
    assert!(cooldown.try_admit_early(now, freed).is_some());
}

/// An endpoint that answered only `404` after a limit got one request at a time.
#[tokio::test(start_paused = true)]
async fn probe_that_is_accepted_ends_the_probing() {
    let (cooldown, now) = cooled(Instant::now());
    let cooldown = cooldown.without_rate();
    let first = admit(&cooldown, now);
    assert!(!cooldown.would_admit(now), "one probe at a time");
    cooldown.accepted(first, now);
    assert_eq!(admits(&cooldown, now), 1_000);
    cooldown.accepted(first, now);
    assert!(!cooldown.is_busy());
}

/// The answers to other attempts do not show that the limit has ended.
#[tokio::test(start_paused = true)]
async fn accepted_attempt_of_an_older_generation_changes_nothing() {
    let start = Instant::now();
    let cooldown = Cooldown::new();
    let before = admit(&cooldown, start);
    cooldown.order(SECOND, start);
    cooldown.accepted(before, start);
    admit(&cooldown, start + SECOND);
    cooldown.accepted(before, start + SECOND);
    assert!(
        !cooldown.would_admit(start + SECOND),
        "the probe is in flight"
    );
}

// ===== the evidence that drops a send rate =====

/// Returns a paced cooldown with a measured rate of 20/s, and its time.
fn with_rate() -> (Cooldown, Instant) {
    let (cooldown, now) = learned(20.0, Instant::now());
    let probe = admit(&cooldown, now);
    assert!(cooldown.succeeded(probe, now));
    (cooldown, now)
}

/// Sends four attempts per second for `seconds`, all served. Returns the last one and its time.
fn send_few(cooldown: &Cooldown, start: Instant, seconds: u32) -> (Ticket, Instant) {
    let mut now = start;
    for _ in 1..seconds * 4 {
        now += SECOND / 4;
        let ticket = admit(cooldown, now);
        cooldown.succeeded(ticket, now);
    }
    now += SECOND / 4;
    (admit(cooldown, now), now)
}

/// A quota of 20/s does not refuse four attempts per second.
#[tokio::test(start_paused = true)]
async fn refusals_well_below_rate_drop_it() {
    let (cooldown, mut now) = with_rate();
    for n in 1..=4 {
        let (ticket, at) = send_few(&cooldown, now, 2);
        let wait = cooldown.refused(ticket, limited(2 * SECOND), at);
        now = at;
        if n < 4 {
            // Longer than a rounded hint, so the endpoint cools.
            assert_eq!(wait, Some(2 * SECOND), "{n}");
            assert!(cooldown.rate().is_some(), "{n}");
            now += 2 * SECOND;
            let probe = admit(&cooldown, now);
            cooldown.succeeded(probe, now);
        } else {
            assert_eq!((wait, cooldown.rate()), (None, None));
        }
    }
    // The next refusal concerns only its own request.
    let (ticket, at) = send_few(&cooldown, now, 10);
    let later = admit(&cooldown, at);
    assert!(!cooldown.succeeded(later, at + MILLI));
    assert_eq!(
        cooldown.refused(ticket, limited(2 * SECOND), at + MILLI),
        None
    );
    assert_eq!(cooldown.rate(), None);
}

/// Sends 40 attempts per second, as far as the rate allows. Returns the refusals until the rate is
/// dropped.
fn refusals_until_drop(mut refuses: impl FnMut(Instant) -> bool) -> Option<u32> {
    let (cooldown, mut now) = with_rate();
    let mut refusals = 0;
    for _ in 0..40_000 {
        now += SECOND / 40;
        let Some(ticket) = cooldown.try_admit(now) else {
            continue;
        };
        if !refuses(now) {
            cooldown.succeeded(ticket, now);
            continue;
        }
        refusals += 1;
        cooldown.refused(ticket, limited(2 * SECOND), now);
        if cooldown.rate().is_none() {
            return Some(refusals);
        }
    }
    assert!(refusals > 100, "{refusals}");
    None
}

/// A lower rate has as many refusals for each attempt, so the rate costs waits and saves nothing.
/// Beside them, a quota is used up only if much is sent.
#[tokio::test(start_paused = true)]
async fn refusals_independent_of_the_traffic_drop_rate() {
    for seed in 0..10 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let dropped = refusals_until_drop(|_| chance.u8(..20) == 0);
        assert!(
            dropped.is_some_and(|refusals| refusals < 100),
            "{dropped:?}"
        );
    }
    let mut quota = (20.0, Instant::now());
    let of_quota = refusals_until_drop(|now| {
        let filled = quota.0 + 20.0 * (now - quota.1).as_secs_f64();
        quota = (f64::min(filled, 20.0), now);
        let refuses = quota.0 < 1.0;
        quota.0 -= f64::from(u8::from(!refuses));
        refuses
    });
    assert_eq!(of_quota, None);
}

/// Sends up to 40 attempts per second from `start` on, of which a share is refused at random.
/// Returns how many of them were sent and how many cooldowns began.
fn refuse_share(
    cooldown: &Cooldown,
    (start, seconds): (Instant, u32),
    percent: u8,
    chance: &mut fastrand::Rng,
) -> (usize, usize) {
    let (mut sent, mut cooldowns) = (0, 0);
    for n in 1..=seconds * 40 {
        let now = start + n * SECOND / 40;
        let Some(ticket) = cooldown.try_admit(now) else {
            continue;
        };
        sent += 1;
        if chance.u8(..100) < percent {
            let wait = cooldown.refused(ticket, limited(SECOND), now);
            cooldowns += usize::from(wait.is_some());
        } else {
            cooldown.serve(ticket, now);
        }
    }
    (sent, cooldowns)
}

/// The rate fell with each of these refusals, down to a twentieth of the requests. As soon as it
/// was dropped, the next refusals led to another one.
#[tokio::test(start_paused = true)]
async fn share_of_refusals_that_no_rate_reduces_is_tolerated() {
    let cases = [(20, 2_300), (30, 2_300), (40, 2_200), (50, 1_500)];
    for (seed, (percent, least)) in (0..8).zip(cases.into_iter().cycle()) {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (cooldown, start) = (Cooldown::new(), Instant::now());
        refuse_share(&cooldown, (start, 60), percent, &mut chance);
        let later = start + 60 * SECOND;
        let (sent, cooldowns) = refuse_share(&cooldown, (later, 60), percent, &mut chance);
        assert!(sent >= least, "{percent} %: {sent} of 2400, {cooldowns}");
    }
}

/// A used-up quota refuses nearly all attempts.
#[tokio::test(start_paused = true)]
async fn used_up_quota_cools_in_spite_of_a_tolerated_share() {
    let mut chance = fastrand::Rng::with_seed(7);
    let (cooldown, start) = (Cooldown::new(), Instant::now());
    refuse_share(&cooldown, (start, 120), 40, &mut chance);
    let later = start + 120 * SECOND;
    let (sent, cooldowns) = refuse_share(&cooldown, (later, 60), 100, &mut chance);
    assert!(cooldowns > 20 && sent < 240, "{sent} sent, {cooldowns}");
}

/// An endpoint may have a quota later.
#[tokio::test(start_paused = true)]
async fn tolerated_share_is_forgotten_without_refusals() {
    let mut chance = fastrand::Rng::with_seed(7);
    let (cooldown, start) = (Cooldown::new(), Instant::now());
    refuse_share(&cooldown, (start, 60), 40, &mut chance);
    let credible = |minutes: u32| {
        let mut state = cooldown.lock();
        state.evidence.decay(start + minutes * 60 * SECOND);
        state.evidence.credible
    };
    assert!(credible(1) >= 0.55);
    for minutes in 1..=60 {
        let now = start + minutes * 60 * SECOND;
        refuse_share(&cooldown, (now, 50), 0, &mut chance);
    }
    assert!(credible(61) < 0.2, "{}", credible(61));
}

/// Otherwise a refused attempt after each served probe would look like a share of all attempts.
#[tokio::test(start_paused = true)]
async fn probe_is_an_attempt_within_the_rate() {
    let (cooldown, now) = learned(20.0, Instant::now());
    cooldown.lock().rate.doubt();
    admit(&cooldown, now);
    assert_eq!(cooldown.lock().rate.outcomes(), (0.0, 1.0));
}

/// The endpoint served five of ten attempts that were sent behind a refused one.
#[tokio::test(start_paused = true)]
async fn first_rate_beside_served_attempts_ends_after_two_refusals() {
    let (cooldown, start) = (Cooldown::new(), Instant::now());
    let sent: Vec<_> = (0..11)
        .map(|n| admit(&cooldown, start + n * MILLI))
        .collect();
    let answered = start + 20 * MILLI;
    for ticket in &sent[..6] {
        cooldown.refused(*ticket, limited(SECOND), answered);
    }
    for ticket in &sent[6..] {
        cooldown.serve(*ticket, answered);
    }
    let mut now = answered + SECOND;
    let probe = admit(&cooldown, now);
    cooldown.serve(probe, now);
    for is_known in [true, true, false] {
        let ticket = loop {
            now += SECOND / 40;
            if let Some(ticket) = cooldown.try_admit(now) {
                if ticket.pass == Pass::Paced {
                    break ticket;
                }
                cooldown.serve(ticket, now);
            }
        };
        cooldown.refused(ticket, limited(SECOND), now);
        assert_eq!(cooldown.lock().rate.known().is_some(), is_known);
        now += SECOND;
    }
}

/// A caller, by the hash of its credential.
fn caller(hash: u64) -> Sender {
    Sender {
        caller: std::num::NonZeroU64::new(hash),
        tokens: 0,
    }
}

/// A state in which the caller 1 was always refused, and the caller 2 always served.
fn one_refused_caller(start: Instant) -> Cooldown {
    let cooldown = Cooldown::new();
    let now = start + SECOND;
    let first = admit(&cooldown, now);
    cooldown.serve(first, now);
    let sent: Vec<_> = (0..12).map(|n| admit(&cooldown, now + n * MILLI)).collect();
    for (n, ticket) in (0..).zip(sent) {
        let ticket = ticket.of(caller(1 + n % 2));
        match n % 2 {
            0 => drop(cooldown.refused(ticket, limited(SECOND), now + 20 * MILLI)),
            _ => drop(cooldown.serve(ticket, now + 20 * MILLI)),
        }
    }
    cooldown
}

#[tokio::test(start_paused = true)]
async fn refusals_of_one_caller_begin_no_cooldown_beside_served_others() {
    let start = Instant::now();
    let cooldown = one_refused_caller(start);
    let now = start + 10 * SECOND;
    for by in [caller(1), caller(1)] {
        let ticket = admit(&cooldown, now).of(by);
        assert_eq!(cooldown.refused(ticket, limited(SECOND), now), None);
        assert!(cooldown.would_admit(now), "{by:?}");
    }
}

/// Otherwise the refused probes of such a caller would double the cooldown.
#[tokio::test(start_paused = true)]
async fn refused_probe_of_one_caller_frees_the_probe() {
    let start = Instant::now();
    let cooldown = one_refused_caller(start);
    let now = start + 10 * SECOND;
    cooldown.order(SECOND, now);
    let now = now + SECOND;
    for (by, is_free) in [(caller(1), true), (caller(2), false)] {
        let probe = admit(&cooldown, now).of(by);
        assert!(!cooldown.would_admit(now));
        cooldown.refused(probe, limited(SECOND), now);
        assert_eq!(cooldown.would_admit(now), is_free, "{by:?}");
    }
}

/// A quota refuses few attempts at its rate, and all callers alike.
#[tokio::test(start_paused = true)]
async fn rate_that_refuses_one_caller_ends() {
    let (cooldown, mut now) = learned(20.0, Instant::now());
    for n in 0..12 {
        now += SECOND / 10;
        let ticket = admit(&cooldown, now).of(caller(1 + n % 2));
        match n % 2 {
            // Each refusal would lower the rate.
            0 => {
                let mut state = cooldown.lock();
                let times = (now, SECOND / 10);
                state.evidence.is_excused(ticket.sender, times, now);
            }
            _ => drop(cooldown.serve(ticket, now)),
        }
    }
    let ticket = admit(&cooldown, now + SECOND).of(caller(2));
    cooldown.serve(ticket, now + SECOND);
    assert!(cooldown.lock().rate.known().is_some());
    let ticket = admit(&cooldown, now + SECOND).of(caller(1));
    assert_eq!(
        cooldown.refused(ticket, limited(SECOND), now + SECOND),
        None
    );
    assert!(cooldown.lock().rate.known().is_none());
}

/// Random refusals led to a queue behind the first rate, and requests were rejected for it.
#[tokio::test(start_paused = true)]
async fn first_rate_is_doubted_without_an_overload() {
    let (cooldown, now) = learned(20.0, Instant::now());
    assert!(!cooldown.is_rate_doubted(), "all tests were refused");
    cooldown.lock().rate.doubt();
    assert!(cooldown.is_rate_doubted());
    for _ in 0..2 {
        cooldown.lock().evidence.refused(now, SECOND, now);
    }
    assert!(!cooldown.is_rate_doubted(), "an overload refuses as many");
}

/// Three attempts between two cooldowns are few, and one of them is refused.
#[tokio::test(start_paused = true)]
async fn small_token_bucket_is_not_taken_for_refusals_at_any_rate() {
    for quota in [2.0, 3.0, 5.0] {
        let (cooldown, start) = (Cooldown::new(), Instant::now());
        let (mut tokens, mut filled, mut refused) = (quota, start, 0);
        for n in 1..=300 * 40 {
            let now = start + n * SECOND / 40;
            let Some(ticket) = cooldown.try_admit(now) else {
                continue;
            };
            tokens = f64::min(tokens + quota * (now - filled).as_secs_f64(), quota);
            filled = now;
            if tokens < 1.0 {
                refused += 1;
                cooldown.refused(ticket, limited(SECOND), now);
            } else {
                tokens -= 1.0;
                cooldown.serve(ticket, now);
            }
        }
        assert!(refused < 60, "{refused} in five minutes at {quota}/s");
    }
}

/// A used-up quota does not serve the next attempt before the end of the hint.
#[tokio::test(start_paused = true)]
async fn attempts_served_during_rounded_hints_drop_rate() {
    let (cooldown, mut now) = with_rate();
    for n in 1..=4 {
        let (ticket, at) = send_few(&cooldown, now, 2);
        assert_eq!(cooldown.refused(ticket, limited(SECOND), at), Some(SECOND));
        assert!(cooldown.rate().is_some(), "{n}");
        let (ready, cools) = cooldown.readiness(Some(at), at);
        assert!(!cools && ready < at + SECOND, "{n}: {:?}", ready - at);
        let early = cooldown.try_admit_early(at, ready).expect("a test");
        now = ready + MILLI;
        assert!(cooldown.succeeded(early, now), "{n}: it is back");
        assert_eq!(cooldown.rate().is_none(), n == 4, "{n}");
    }
    assert_eq!(cooldown.until(now), None);
}

/// A limit that was lifted refuses nothing above the rate.
#[tokio::test(start_paused = true)]
async fn service_above_rate_without_refusals_drops_it() {
    let (cooldown, start) = with_rate();
    let mut now = start;
    while cooldown.rate().is_some() {
        now += MILLI;
        assert!(now < start + 20 * SECOND, "{:?}", cooldown.rate());
        while let Some(ticket) = cooldown.try_admit(now) {
            cooldown.succeeded(ticket, now);
            if ticket.pass == Pass::Free {
                break;
            }
        }
    }
    assert!(now > start + 2 * SECOND);
    assert_eq!(admits(&cooldown, now), 1_000);
}
