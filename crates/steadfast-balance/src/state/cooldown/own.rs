//! Refusals that concern only their own request. Callers pass the time.
//!
//! A server may refuse a request with `429` at any time, such as one with more tokens than a minute
//! allows. Each repeat is refused as well, while the endpoint serves others. Such refusals say
//! nothing about a quota.
//!
//! * **Premise.** A quota refuses the requests of all callers alike. So an endpoint that refuses a
//!   request, serves another one that was sent after it, and refuses the first one again has no
//!   used-up quota. Exception: at its send rate a refusal is due, and shows that the rate is
//!   correct.
//! * **Effect.** The repeat begins no cooldown. It is a refusal in spite of a known send rate, and
//!   adds to the sum of a futile one. Without a rate, it takes the refusal before it back as
//!   evidence. A refused early attempt takes nothing back, and delays the next one.
//! * **Saving.** Two endpoints refuse one request per second with `Retry-After: 1`, beside 10 or 50
//!   good ones. Its repeats were the probes of the cooldown that it had begun, and 30 or 59 % of
//!   the good requests were served. Now it is 100 %.
//! * **If the premise fails,** a quota refuses a request twice by chance. The refusals of other
//!   requests still count. With a quota of 20/s of which a neighbour uses half, each request has
//!   0.046 refusals.

use tokio::time::Instant;

use super::{Cooldown, Pass, State, Ticket};
use crate::state::millis::millis;
use crate::state::origin::Earlier;

impl Cooldown {
    /// Learns from a repeated refusal of a request, if it concerns only this request. Returns
    /// whether it does.
    pub(crate) fn refused_own(&self, ticket: Ticket, earlier: Earlier, now: Instant) -> bool {
        let since = earlier.since.saturating_duration_since(self.origin);
        if self.newest_success() <= millis(since) {
            return false;
        }
        let Some(mut state) = self.current(ticket) else {
            return true;
        };
        let is_due = state.back && state.rate.is_refusal_due(now);
        if !is_due {
            state.take_back(ticket, earlier, now);
            self.publish(&state);
        }
        !is_due
    }
}

impl State {
    /// Takes back the refusals of a request, which concern only itself.
    fn take_back(&mut self, ticket: Ticket, earlier: Earlier, now: Instant) {
        // A quota refuses early attempts too. This one shows nothing about the refusal before it.
        if ticket.pass == Pass::Early {
            self.refuse_early(None, now);
            return;
        }
        self.release(ticket);
        // Each further repeat has nothing more to take back.
        if self.rate.known().is_none() && earlier.is_only {
            self.evidence.take_back();
        }
        self.refused_in_spite_of_rate(ticket, now);
    }

    /// Counts a refusal that a send rate cannot prevent, and drops a futile rate.
    pub(super) fn refused_in_spite_of_rate(&mut self, ticket: Ticket, now: Instant) {
        self.rate.unserved();
        if self.rate.known().is_some() && self.is_futile_after_refusal(ticket) {
            self.evidence.tolerate_own(self.rate.outcomes());
            self.drop_rate(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{cooled, learn, paced};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn earlier(since: Instant) -> Earlier {
        let is_only = true;
        Earlier { since, is_only }
    }

    /// Serves a request that is sent and answered at `now`.
    fn serve(cooldown: &Cooldown, now: Instant) {
        let ticket = cooldown.try_admit(now).expect("admitted");
        cooldown.serve(ticket, now);
    }

    #[tokio::test(start_paused = true)]
    async fn repeat_is_own_if_a_later_request_was_served() {
        let cooldown = Cooldown::new();
        let now = Instant::now() + SECOND;
        for (served_at, is_own) in [(now, false), (now + SECOND, true)] {
            serve(&cooldown, served_at);
            let again = served_at + SECOND;
            let ticket = cooldown.try_admit(again).expect("admitted");
            assert_eq!(cooldown.refused_own(ticket, earlier(now), again), is_own);
            assert!(!cooldown.is_busy());
        }
    }

    /// The next request had to wait for the end of the patience, and then for a longer cooldown.
    #[tokio::test(start_paused = true)]
    async fn own_refusal_of_a_probe_leaves_the_probe_to_another_request() {
        let (cooldown, end) = cooled(Instant::now() + SECOND);
        let since = end - 3 * SECOND;
        let probe = cooldown.try_admit(end).expect("a probe");
        cooldown
            .newest_success
            .store(2_000, std::sync::atomic::Ordering::Relaxed);
        assert!(!cooldown.would_admit(end));
        assert!(cooldown.refused_own(probe, earlier(since), end));
        assert!(cooldown.would_admit(end));
    }

    /// The repeats of a request cost nothing, so an overload sent hundreds of them per second.
    #[tokio::test(start_paused = true)]
    async fn own_refusal_of_an_early_attempt_delays_the_next_one() {
        let (cooldown, now) = paced();
        let at = |ms| now + Duration::from_millis(ms);
        let early = cooldown.try_admit_early(now, at(1)).expect("early");
        assert!(cooldown.refused_own(early, earlier(now - SECOND), at(2)));
        assert!(cooldown.try_admit_early(now, at(3)).is_none());
        assert_eq!(cooldown.until(at(2)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn own_refusals_make_a_rate_futile() {
        let cooldown = Cooldown::new();
        let now = Instant::now() + 10 * SECOND;
        learn(&cooldown, 100.0, now);
        serve(&cooldown, now);
        for is_known in [true, true, true, false] {
            let ticket = cooldown.try_admit(now).expect("a token");
            assert!(cooldown.refused_own(ticket, earlier(now - SECOND), now));
            assert_eq!(cooldown.lock().rate.known().is_some(), is_known);
        }
        assert!(cooldown.lock().evidence.contradicts(), "of other refusals");
    }

    /// Without a rate, the refusal before the first repeat was a test of another one.
    #[tokio::test(start_paused = true)]
    async fn first_repeat_takes_the_refusal_before_it_back() {
        let cooldown = Cooldown::new();
        let now = Instant::now() + 10 * SECOND;
        for n in 0..2 {
            let mut state = cooldown.lock();
            state.evidence.refused(now + n * SECOND / 10, SECOND, now);
        }
        serve(&cooldown, now + SECOND / 2);
        cooldown.lock().evidence.served(now + SECOND / 2, now);
        assert!(!cooldown.lock().evidence.contradicts());
        for (is_only, contradicts) in [(false, false), (true, true)] {
            let (since, again) = (now, now + 2 * SECOND);
            let ticket = cooldown.try_admit(again).expect("admitted");
            assert!(cooldown.refused_own(ticket, Earlier { since, is_only }, again));
            assert_eq!(cooldown.lock().evidence.contradicts(), contradicts);
        }
    }

    /// A due refusal has lowered the rate, and the attempts in flight exceed the lower one.
    #[tokio::test(start_paused = true)]
    async fn own_refusals_of_attempts_from_before_a_lower_rate_do_not_count() {
        let cooldown = Cooldown::new();
        let now = Instant::now() + 10 * SECOND;
        learn(&cooldown, 100.0, now);
        serve(&cooldown, now);
        let sent = [(); 6].map(|()| cooldown.try_admit(now).expect("a token"));
        let later = now + SECOND / 10;
        cooldown.lock().lowered = later;
        for ticket in sent {
            assert!(cooldown.refused_own(ticket, earlier(now - SECOND), later));
        }
        assert!(cooldown.lock().rate.known().is_some());
    }

    /// A quota explains such a refusal.
    #[tokio::test(start_paused = true)]
    async fn due_refusal_at_a_rate_is_not_own() {
        let cooldown = Cooldown::new();
        let now = Instant::now() + 10 * SECOND;
        learn(&cooldown, 10.0, now);
        for tenth in 0..60 {
            serve(&cooldown, now + tenth * SECOND / 10);
        }
        let now = now + 6 * SECOND;
        let ticket = cooldown.try_admit(now).expect("a token");
        assert!(!cooldown.refused_own(ticket, earlier(now - SECOND), now));
    }
}
