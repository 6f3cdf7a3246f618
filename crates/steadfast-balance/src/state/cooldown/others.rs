//! Tests of a limit by other callers than the accused one.
//!
//! * **Premise.** A server may refuse only one caller. Until the outcomes of others show that, the
//!   refusals begin cooldowns for all.
//! * **Effect.** While only the [accused](super::accused) caller was refused since a cooldown
//!   began, the requests of other known callers test it at once. The accused caller leaves half of
//!   the tests of a burst to them. A served test is free, so these callers go on as if the cooldown
//!   were one of the accused caller.
//! * **Saving.** Four connections of one caller send refused requests without a pause, about two
//!   thousand per second. The other caller waited for a second, and up to 229 of its requests were
//!   rejected. With these tests, none waits.
//! * **If the premise fails,** the first test of another caller is refused, and no caller tests the
//!   limit for a minute after it: one more refusal, or up to ten if as many others are there at the
//!   same time. Served tests are no evidence against the limit, because a quota refills during a
//!   cooldown. A cooldown at a confirmed rate, or at one from the headers, is not tested.
//! * **Bounds.** At most ten tests without an answer, then one per second. A test overtakes the
//!   waiters, which may be the ones of the accused caller.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{ACCUSED, BUSY, Cooldown, Pass, Phase, State, Ticket};

/// A cooldown that other callers test: its generation, and the accused caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    generation: u64,
    accused: NonZeroU64,
}

impl Cooldown {
    /// Returns whether a caller is accused of the refusals of a known limit.
    pub(crate) fn has_accused(&self) -> bool {
        let both = BUSY | ACCUSED;
        self.word.load(Ordering::Acquire) & both == both
    }

    /// Returns the present cooldown if other callers test it.
    pub(crate) fn opening(&self, now: Instant) -> Option<Opening> {
        if !self.has_accused() {
            return None;
        }
        let state = self.lock();
        let accused = state.accused_tested_by_others(now)?;
        Some(Opening {
            generation: state.generation,
            accused,
        })
    }
}

impl State {
    /// Returns whether only the accused caller was refused since the cooldown began.
    pub(super) fn is_open_to_others(&self) -> bool {
        self.is_of_accused && self.evidence.accused().is_some()
    }

    /// Returns the accused caller if others test the limit, because only its refusals support it.
    fn accused_tested_by_others(&self, now: Instant) -> Option<NonZeroU64> {
        let is_guess = !self.rate.is_claimed() && self.rate.confirmed().is_none();
        // At a send rate, a test would take the slots of the waiters.
        let is_paced = self.phase == Phase::Paced;
        let is_tested = self.is_of_accused && is_guess && !self.bench && !is_paced;
        is_tested.then(|| self.evidence.accused_tested_by_others(now))?
    }

    /// Returns when a caller tests the limit, if only the refusals of another one support it.
    pub(super) fn due_for(&self, caller: NonZeroU64, now: Instant) -> Option<Instant> {
        let accused = self.accused_tested_by_others(now)?;
        (accused != caller).then(|| self.tests.due(false))
    }

    /// Notes the sender of a refusal that began a cooldown. The sender may be unknown, because no
    /// limit was known when it was sent.
    pub(super) fn note_accused(&mut self, ticket: Ticket, now: Instant) {
        let is_unknown = ticket.is_free() && ticket.sender.caller.is_none();
        if is_unknown {
            self.evidence.forget_old_accusation(now);
        }
        self.is_of_accused = is_unknown || self.evidence.accuses(ticket.sender);
    }

    /// Notes the sender of a refusal for a rate limit within a limit, beside the caller that was
    /// accused before. The refused test of another one shows that the limit concerns it as well.
    pub(super) fn note_other(&mut self, ticket: Ticket, accused: Option<NonZeroU64>, now: Instant) {
        if ticket.pass == Pass::OfCaller {
            self.rate.unserved();
        }
        // The first refused caller is accused.
        if ticket.is_free() || accused.is_none() || ticket.sender.caller == accused {
            return;
        }
        if ticket.generation == self.generation {
            self.is_of_accused = false;
        }
        if ticket.is_test() && ticket.sender.caller.is_some() {
            self.evidence.refute_accusation(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Refusal;
    use super::super::accused::Sender;
    use super::super::doubt::BURST;
    use super::super::recovery::{Occasion, Recovery};
    use super::super::tests::learn;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sender(hash: u64) -> Sender {
        let caller = NonZeroU64::new(hash);
        Sender { caller, tokens: 0 }
    }

    fn refuse(cooldown: &Cooldown, ticket: Ticket, hint: Option<Duration>, now: Instant) {
        let refusal = Refusal {
            hint,
            testable: true,
            ..Refusal::default()
        };
        cooldown.refused(ticket, refusal, now);
    }

    /// Begins a cooldown with this hint by refusals of the caller 1. The first one was sent when no
    /// limit was known.
    fn limited(hint: Option<Duration>, now: Instant) -> Cooldown {
        let cooldown = Cooldown::new();
        let served = cooldown.try_admit(now).expect("admitted");
        cooldown.serve(served, now);
        for hash in [0, 1] {
            let ticket = cooldown.try_admit(now).expect("admitted").of(sender(hash));
            refuse(&cooldown, ticket, hint, now);
        }
        assert!(cooldown.until(now).is_some());
        cooldown
    }

    fn try_test(cooldown: &Cooldown, hash: u64, now: Instant) -> Option<Ticket> {
        let caller = NonZeroU64::new(hash).expect("a hash");
        let ticket = cooldown.try_recover(Occasion::OfCaller(caller), now);
        ticket.map(|ticket| ticket.of(sender(hash)))
    }

    #[tokio::test(start_paused = true)]
    async fn other_caller_passes_through_the_cooldown_of_the_accused_one() {
        let now = Instant::now() + SECOND;
        for hint in [None, Some(SECOND / 2)] {
            let cooldown = limited(hint, now);
            assert_eq!(try_test(&cooldown, 1, now), None);
            for _ in 0..3 * BURST {
                let test = try_test(&cooldown, 2, now).expect("a test");
                assert!(!cooldown.serve(test, now));
            }
            assert!(cooldown.until(now).is_some(), "for the accused caller");
        }
    }

    /// A quota concerns all callers.
    #[tokio::test(start_paused = true)]
    async fn refused_test_closes_the_limit_to_others_for_a_minute() {
        let now = Instant::now() + SECOND;
        let cooldown = limited(None, now);
        let test = try_test(&cooldown, 2, now).expect("a test");
        refuse(&cooldown, test, None, now);
        assert_eq!(try_test(&cooldown, 2, now), None);
        assert_eq!(try_test(&cooldown, 3, now), None);
        for (seconds, is_open) in [(59, false), (61, true)] {
            let mut at = now + seconds * SECOND;
            // A refusal that is recent, and begins a cooldown.
            while cooldown.until(at).is_none() {
                let probe = cooldown.try_admit(at).expect("admitted").of(sender(1));
                at += SECOND / 1_000;
                refuse(&cooldown, probe, None, at);
            }
            assert_eq!(try_test(&cooldown, 2, at).is_some(), is_open, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accused_caller_leaves_half_of_the_tests_to_others() {
        let now = Instant::now() + SECOND;
        let cooldown = limited(None, now);
        let mut tests = 0;
        while let Some(test) = cooldown.try_recover(Occasion::Alone, now) {
            refuse(&cooldown, test.of(sender(1)), None, now);
            tests += 1;
        }
        assert_eq!(tests, BURST / 2);
        assert!(try_test(&cooldown, 2, now).is_some());
    }

    /// It would test its own refusals, and close the limit to all others.
    #[tokio::test(start_paused = true)]
    async fn caller_refused_long_after_the_accused_one_is_accused() {
        let start = Instant::now() + SECOND;
        let cooldown = limited(None, start);
        let now = start + 60 * SECOND;
        let mut state = cooldown.lock();
        state.clear(now);
        cooldown.publish(&state);
        drop(state);
        let sent = [0, 2].map(|hash| cooldown.try_admit(now).expect("admitted").of(sender(hash)));
        let hint = Some(30 * SECOND);
        for ticket in sent {
            refuse(&cooldown, ticket, hint, now);
        }
        assert_eq!(try_test(&cooldown, 2, now), None);
        assert!(try_test(&cooldown, 3, now).is_some());
    }

    /// Each refused probe of the accused caller begins a generation.
    #[tokio::test(start_paused = true)]
    async fn served_test_of_an_older_generation_is_free() {
        let mut now = Instant::now() + SECOND;
        let cooldown = limited(None, now);
        for _ in 0..3 {
            let tests = [(); 8].map(|()| try_test(&cooldown, 2, now).expect("a test"));
            now = cooldown.until(now).expect("a cooldown");
            let probe = cooldown.try_admit(now).expect("a probe");
            refuse(&cooldown, probe.of(sender(1)), None, now);
            for test in tests {
                cooldown.serve(test, now);
            }
        }
    }

    /// The rate of a quota, or the order of an operator, is no guess.
    #[tokio::test(start_paused = true)]
    async fn known_limit_is_not_tested() {
        let now = Instant::now() + 10 * SECOND;
        let cooldown = limited(None, now);
        cooldown.order(60 * SECOND, now);
        assert_eq!(try_test(&cooldown, 2, now), None);

        let cooldown = Cooldown::new();
        learn(&cooldown, 20.0, now);
        let first = cooldown.ready_at(now);
        let ticket = cooldown.try_admit(first).expect("admitted");
        refuse(&cooldown, ticket.of(sender(1)), Some(2 * SECOND), first);
        assert!(cooldown.lock().is_open_to_others() && cooldown.confirmed_rate().is_some());
        assert_eq!(try_test(&cooldown, 2, first), None);
    }

    #[tokio::test(start_paused = true)]
    async fn other_caller_is_admitted_beside_a_probe() {
        let now = Instant::now() + SECOND;
        let cooldown = limited(Some(SECOND), now);
        let end = now + 2 * SECOND;
        let probe = cooldown.try_admit(end).expect("a probe");
        assert_eq!(probe.pass, Pass::Probe);
        let caller = NonZeroU64::new(2).expect("a hash");
        let due = cooldown.recovery(Occasion::OfCaller(caller), end);
        assert!(matches!(due, Recovery::At(due) if due <= end), "{due:?}");
        let test = try_test(&cooldown, 2, end).expect("a test");
        assert_eq!(test.pass, Pass::OfCaller);
    }
}
