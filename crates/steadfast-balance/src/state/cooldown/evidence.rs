//! The evidence for and against the refusals of an endpoint. Callers pass the time.
//!
//! A refusal claims that a quota is used up until its hint ends. The attempts that were sent after
//! the refused one test this claim: they are refused as well, or they succeed. One outcome proves
//! little, because the token bucket of a real quota refuses a share of the attempts and serves the
//! others. So the share counts: if the endpoint serves nearly all attempts that a refusal claims to
//! be hopeless, a pause cannot save a request.
//!
//! ```text
//!                sent      answer      end of the hint
//! refused attempt ├──────────┤·················┤
//! tests            ╰── attempts sent in here ──╯
//! ```
//!
//! Without any test a refusal is credible, and its hint holds.
//!
//! A send rate tests a share of refusals as well: with a quota as their cause, it reduces them. If
//! it does not, the share is **tolerated**. Refusals are then credible from a share that is half as
//! large again and 15 points more, and at most 70 %. While the endpoint refuses a share, it stays
//! tolerated. Otherwise half of it is forgotten after five minutes.

use std::num::NonZeroU64;
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use super::accused::{Accused, Sender};

/// The share of refused tests from which a refusal is credible. Below, a pause would delay six
/// requests to save one refusal.
const CREDIBLE: f64 = 0.15;
/// The refused tests that may be chance: a share of all tests, and at most this number.
const CHANCE: (f64, f64) = (0.25, 1.5);
/// The number of tests that a share covers. Each further test replaces a part of the others.
const TESTS: f64 = 100.0;
/// The time after which a test counts half.
const HALF_LIFE: f64 = 300.0;
/// The weight below which the tests show nothing.
const LEAST: f64 = 0.5;
/// The longest time for which a refusal is tested. A test of a longer hint would say little about
/// the next refusal.
const LONGEST: Duration = Duration::from_secs(60);
/// The refused tests that support a send rate beside a served one.
const SEVERAL: f64 = 1.5;
/// The weight of a disproved send rate, in tests.
const DISPROVED: f64 = 20.0;
/// How much larger than a tolerated share a credible one is: by this factor, and by this part of
/// all tests.
const TOLERANCE: (f64, f64) = (1.5, 0.15);
/// The largest credible share. A used-up quota refuses nearly all tests.
const MOST_CREDIBLE: f64 = 0.7;
/// The share of refused tests from which a quota is likely, although its rate was futile.
const LIKELY_QUOTA: f64 = 0.6;
/// The share of refused tests that suggests an overload. An offered load of 5/3 of a quota has it.
const OVERLOAD: f64 = 0.4;
/// The largest share of refused tests that counts if requests that are always refused have ended a
/// rate.
const MOST_BESIDE_OWN: f64 = 0.4;

/// The tests of the refusals of one endpoint.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The refused tests.
    refused: f64,
    /// The served tests.
    served: f64,
    /// The caller with the most refusals, if one was noted. Boxed, because most keys have none.
    accused: Option<Box<Accused>>,
    /// The instant of the last decay.
    decayed: Instant,
    /// When the tests of the present refusals were sent: from the first instant to the second. The
    /// other attempts of a burst are tests too.
    tests: Option<(Instant, Instant)>,
    /// When the refusal arrived that set the end of `tests`.
    claimed: Instant,
    /// When the last outcome of a test may arrive.
    ends: Instant,
    /// The share of refused tests from which a refusal is credible.
    pub(super) credible: f64,
    /// The weight of the finding that a quota was likely before the last reset of the tests.
    was_likely: f64,
}

impl Evidence {
    /// Starts without tests.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            refused: 0.0,
            served: 0.0,
            accused: None,
            decayed: now,
            tests: None,
            claimed: now,
            ends: now,
            credible: CREDIBLE,
            was_likely: 0.0,
        }
    }

    /// Returns whether outcomes of tests may still arrive.
    pub(super) fn is_open(&self) -> bool {
        self.tests.is_some()
    }

    /// Returns whether no test has shown anything yet.
    pub(super) fn is_empty(&self) -> bool {
        self.refused + self.served < LEAST
    }

    /// Returns whether no test was served.
    pub(super) fn is_unanimous(&self) -> bool {
        self.served < LEAST
    }

    /// Returns whether a first send rate may follow. A rate stays for longer than a cooldown, so
    /// it requires several refused tests if another test was served.
    pub(super) fn supports_rate(&self) -> bool {
        self.is_unanimous() || self.refused >= SEVERAL
    }

    /// Returns whether most tests were refused, or were before the last reset.
    pub(super) fn is_quota_likely(&self) -> bool {
        self.was_likely >= LEAST || self.share() >= LIKELY_QUOTA
    }

    /// Returns whether a share of refusals is tolerated.
    pub(super) fn tolerates_share(&self) -> bool {
        self.credible >= CREDIBLE + 0.01
    }

    /// Returns whether the endpoint refused a share of the tests that is usual in an overload.
    pub(super) fn suggests_overload(&self) -> bool {
        self.share() >= OVERLOAD
    }

    /// Compares the sender of a refused attempt with the others. An answer usually takes `usual`.
    /// Returns whether the refusal concerns only its caller.
    pub(super) fn is_excused(
        &mut self,
        sender: Sender,
        (sent, usual): (Instant, Duration),
        now: Instant,
    ) -> bool {
        if sender.caller.is_none() && self.accused.is_none() {
            return false;
        }
        let accused = self.accused.get_or_insert_default();
        accused.refused(sender, (sent, usual), now);
        accused.excuses(sender, now)
    }

    /// Compares the sender of a served attempt with the others.
    pub(super) fn compare_served(&mut self, sender: Sender, sent: Instant) {
        if let Some(accused) = &mut self.accused {
            accused.served(sender, sent);
        }
    }

    /// Returns whether the refusals concern only one caller.
    pub(super) fn is_of_one_caller(&self, now: Instant) -> bool {
        (self.accused.as_ref()).is_some_and(|accused| accused.is_alone(now))
    }

    /// Returns whether only the accused caller was refused recently.
    pub(super) fn is_only_of_accused(&self, now: Instant) -> bool {
        (self.accused.as_ref()).is_some_and(|accused| accused.is_only(now))
    }

    /// Records that a test by another caller than the accused one was refused.
    pub(super) fn refute_accusation(&mut self, now: Instant) {
        if let Some(accused) = &mut self.accused {
            accused.refute(now);
        }
    }

    /// Returns the accused caller if others test its refusals.
    pub(super) fn accused_tested_by_others(&self, now: Instant) -> Option<NonZeroU64> {
        let accused = self.accused.as_deref()?;
        accused.is_tested(now).then(|| accused.caller())?
    }

    /// Ends the accusation of a caller without a recent refusal.
    pub(super) fn forget_old_accusation(&mut self, now: Instant) {
        if let Some(accused) = &mut self.accused {
            accused.forget_old(now);
        }
    }

    /// Returns whether a refused sender is the accused caller.
    pub(super) fn accuses(&self, sender: Sender) -> bool {
        (self.accused.as_ref()).is_some_and(|accused| accused.is(sender))
    }

    /// Returns the accused caller.
    pub(super) fn accused(&self) -> Option<NonZeroU64> {
        self.accused.as_ref()?.caller()
    }

    /// Returns whether the endpoint served nearly all tests.
    pub(super) fn contradicts(&self) -> bool {
        let tests = self.refused + self.served;
        let chance = (tests * CHANCE.0).min(CHANCE.1);
        self.served >= LEAST && self.refused < self.credible * tests + chance
    }

    /// Records a refusal at `now` of an attempt sent at `sent`. Its claim ends after `wait`.
    pub(super) fn refused(&mut self, sent: Instant, wait: Duration, now: Instant) {
        self.decay(now);
        if self.is_test(sent) {
            self.add(1.0, 0.0);
        }
        let until = saturating_add(now, wait.min(LONGEST));
        self.tests = Some(match self.tests {
            // The refusals of a burst make one claim. The first attempt after its end is no test.
            Some((from, to)) if sent <= self.claimed => (from.min(sent), to),
            Some((from, to)) if sent <= to => {
                self.claimed = now;
                (from.min(sent), to.max(until))
            }
            _ => {
                self.claimed = now;
                (sent, until)
            }
        });
        // An outcome may be late: successes take longer than refusals.
        let patience = now.saturating_duration_since(sent).saturating_mul(10);
        self.ends = self.ends.max(saturating_add(until, patience.max(LONGEST)));
    }

    /// Records a success of an attempt sent at `sent`. Returns whether it was a test.
    pub(super) fn served(&mut self, sent: Instant, now: Instant) -> bool {
        let is_test = self.is_test(sent);
        if is_test {
            self.add(0.0, 1.0);
        }
        if now >= self.ends {
            self.tests = None;
        }
        is_test
    }

    /// Records that the refusals come before a send rate has returned to its known value.
    pub(super) fn disprove_rate(&mut self) {
        self.was_likely = if self.is_quota_likely() { 1.0 } else { 0.0 };
        self.restart();
    }

    /// Starts again with served tests, so that the next refusals need evidence.
    fn restart(&mut self) {
        (self.refused, self.served) = (0.0, DISPROVED);
    }

    /// Records that a send rate did not reduce the refusals, with the refused and the served
    /// attempts within it. Unless most tests were refused, a quota is not the reason for such a
    /// share.
    pub(super) fn tolerate(&mut self, (refused, served): (f64, f64)) {
        if self.is_quota_likely() {
            self.was_likely = 0.0;
            self.restart();
            return;
        }
        self.refused += refused;
        self.served += served;
        let kept = (DISPROVED / (self.refused + self.served)).min(1.0);
        self.refused *= kept;
        self.served *= kept;
        let (factor, more) = TOLERANCE;
        let credible = (self.share() * factor + more).min(MOST_CREDIBLE);
        self.credible = self.credible.max(credible);
    }

    /// Records the same because of requests that are always refused. The others are refused more
    /// rarely.
    pub(super) fn tolerate_own(&mut self, outcomes: (f64, f64)) {
        self.tolerate(outcomes);
        let tests = self.refused + self.served;
        self.refused = self.refused.min(MOST_BESIDE_OWN * tests);
        self.served = tests - self.refused;
    }

    /// Returns the share of refused tests.
    fn share(&self) -> f64 {
        self.refused / (self.refused + self.served).max(1.0)
    }

    /// Takes a refusal back, because it concerned only its own request.
    pub(super) fn take_back(&mut self) {
        self.refused = (self.refused - 1.0).max(0.0);
    }

    fn is_test(&self, sent: Instant) -> bool {
        (self.tests).is_some_and(|(from, to)| from <= sent && sent < to)
    }

    fn add(&mut self, refused: f64, served: f64) {
        let tests = self.refused + self.served;
        let kept = 1.0 - (tests / TESTS).min(1.0) / TESTS;
        self.refused = self.refused * kept + refused;
        self.served = self.served * kept + served;
    }

    pub(super) fn decay(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.decayed).as_secs_f64();
        let kept = (-time / HALF_LIFE).exp2();
        self.refused *= kept;
        self.served *= kept;
        self.was_likely *= kept;
        // A share stays tolerated while the endpoint refuses it.
        if self.share() < CREDIBLE {
            self.credible = CREDIBLE + (self.credible - CREDIBLE) * kept;
        }
        self.decayed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evidence with these numbers of refused and served tests.
    fn after(refused: f64, served: f64) -> Evidence {
        Evidence {
            refused,
            served,
            ..Evidence::new(Instant::now())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn share_of_a_futile_rate_is_tolerated() {
        let mut evidence = after(4.0, 6.0);
        assert!(!evidence.contradicts());
        evidence.tolerate((2.0, 8.0));
        // 6 of 20 tests, half as many again, and 15 points.
        assert!((evidence.credible - 0.6).abs() < 1e-9);
        assert!(evidence.contradicts());
        let mut large = after(5.0, 5.0);
        large.tolerate((5.0, 5.0));
        assert_eq!(large.credible, MOST_CREDIBLE);
    }

    #[tokio::test(start_paused = true)]
    async fn share_stays_tolerated_while_the_endpoint_refuses_it() {
        for (refused, credible) in [(6.0, 0.6), (1.0, 0.375)] {
            let mut evidence = after(0.0, 0.0);
            evidence.tolerate((6.0, 14.0));
            evidence.refused = refused;
            evidence.decay(evidence.decayed + Duration::from_secs(300));
            assert!((evidence.credible - credible).abs() < 1e-9, "{refused}");
        }
    }

    /// A quota in windows refuses nearly all tests, and its rate may be futile by chance.
    #[tokio::test(start_paused = true)]
    async fn share_of_a_likely_quota_is_not_tolerated_at_once() {
        let mut evidence = after(9.0, 1.0);
        evidence.disprove_rate();
        assert!(evidence.is_quota_likely(), "it is remembered");
        evidence.tolerate((4.0, 8.0));
        assert_eq!(evidence.credible, CREDIBLE);
        assert!(!evidence.is_quota_likely());
        evidence.tolerate((4.0, 8.0));
        assert!(evidence.credible > CREDIBLE);
    }

    #[tokio::test(start_paused = true)]
    async fn likely_quota_is_forgotten_after_its_half_life() {
        let mut evidence = after(9.0, 1.0);
        evidence.disprove_rate();
        let now = evidence.decayed;
        evidence.decay(now + Duration::from_secs(299));
        assert!(evidence.is_quota_likely());
        evidence.decay(now + Duration::from_secs(301));
        assert!(!evidence.is_quota_likely());
    }

    #[tokio::test(start_paused = true)]
    async fn own_refusals_count_for_less_than_half_of_the_tests() {
        let mut evidence = after(5.0, 5.0);
        evidence.tolerate_own((9.0, 1.0));
        assert!((evidence.share() - MOST_BESIDE_OWN).abs() < 1e-9);
    }
}
