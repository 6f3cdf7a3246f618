//! The evidence that drops a send rate.

use super::*;

/// Returns a paced cooldown with a measured rate of 20/s.
fn paced() -> (Cooldown, Instant) {
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
    let (cooldown, mut now) = paced();
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

/// A used-up quota does not serve the next attempt before the end of the hint.
#[tokio::test(start_paused = true)]
async fn attempts_served_during_rounded_hints_drop_rate() {
    let (cooldown, mut now) = paced();
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
    let (cooldown, start) = paced();
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
