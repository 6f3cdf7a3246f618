//! A caller with refused requests beside others with served ones. Callers pass the time.
//!
//! * **Premise.** A quota refuses the requests of all callers alike. A server that refuses only one
//!   caller, for example for words that it does not accept, has no used-up quota.
//! * **Effect.** The caller with the most refusals is accused. A round is a refusal of this caller,
//!   a success of another one, and again a refusal of this caller. After [`ROUNDS`] rounds, the
//!   refusals concern only the accused caller.
//! * **Saving.** A caller that is always refused took both endpoints of a pool from others as soon
//!   as it sent more than a quarter of the requests.
//! * **If the premise fails,** a quota refuses one caller by chance between successes of others.
//!   But it serves this caller as well, or refuses others. Each of these outcomes takes two rounds
//!   back.
//! * **Callers** are known by their credentials, and only while a limit or a test is known. The
//!   successes of unknown callers count for the others, and their refusals do not count.

use std::num::NonZeroU64;

use tokio::time::Instant;

/// The rounds that show that the refusals concern only one caller.
const ROUNDS: u32 = 2;
/// The largest number of rounds that are counted, so that few other outcomes suffice later.
const MOST_ROUNDS: u32 = 4;
/// The rounds that an outcome takes back that does not agree.
const DISAGREES: u32 = 2;
/// The largest lead, so that a new caller with refusals is accused soon.
const MOST_LEAD: u32 = 10;

/// The caller with the most refusals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accused {
    caller: Option<NonZeroU64>,
    /// The refusals of this caller, less the ones of others since it is accused.
    lead: u32,
    rounds: u32,
    /// When the first refused attempt of the present round was sent.
    begun: Option<Instant>,
    /// When the last served attempt of another caller was sent.
    served: Option<Instant>,
}

impl Accused {
    /// Records the refusal of an attempt that was sent at `sent`.
    pub(super) fn refused(&mut self, caller: Option<NonZeroU64>, sent: Instant) {
        if self.is(caller) {
            self.lead = (self.lead + 1).min(MOST_LEAD);
            self.end_round(sent);
            return;
        }
        if caller.is_none() {
            return;
        }
        self.disagree();
        self.lead = self.lead.saturating_sub(1);
        if self.lead == 0 {
            *self = Self {
                caller,
                lead: 1,
                begun: Some(sent),
                ..Self::default()
            };
        }
    }

    /// Records the success of an attempt that was sent at `sent`.
    pub(super) fn served(&mut self, caller: Option<NonZeroU64>, sent: Instant) {
        if self.is(caller) {
            self.disagree();
        } else {
            self.served = self.served.max(Some(sent));
        }
    }

    /// Returns whether a request is one of the accused caller.
    pub(super) fn is(&self, caller: Option<NonZeroU64>) -> bool {
        caller.is_some() && caller == self.caller
    }

    /// Returns whether the refusals concern only the accused caller.
    pub(super) fn is_alone(&self) -> bool {
        self.rounds >= ROUNDS
    }

    fn end_round(&mut self, sent: Instant) {
        let between = |served: Instant| self.begun.is_some_and(|at| at < served) && served < sent;
        if self.served.is_some_and(between) {
            self.rounds = (self.rounds + 1).min(MOST_ROUNDS);
            self.begun = Some(sent);
        }
    }

    fn disagree(&mut self) {
        self.rounds = self.rounds.saturating_sub(DISAGREES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Records outcomes, one each second: `a` and `b` are refusals of two callers, and `A` and `B`
    /// their successes. `n` and `N` have no credential. Returns whether the refusals concern only
    /// one caller.
    fn is_alone_after(outcomes: &str) -> bool {
        let mut accused = Accused::default();
        let start = Instant::now();
        for (second, outcome) in (1..).zip(outcomes.chars()) {
            let sent = start + Duration::from_secs(second);
            let caller = match outcome.to_ascii_lowercase() {
                'a' => NonZeroU64::new(1),
                'b' => NonZeroU64::new(2),
                _ => None,
            };
            match outcome.is_lowercase() {
                true => accused.refused(caller, sent),
                false => accused.served(caller, sent),
            }
        }
        accused.is_alone()
    }

    #[test]
    fn refusals_of_one_caller_between_successes_of_others_concern_only_it() {
        for (outcomes, is_alone) in [
            ("aBa", false),
            ("aBaBa", true),
            ("aaaBaaaBBBaa", true),
            ("aNaNa", true),
            ("aaaaBBBBBa", false),
        ] {
            assert_eq!(is_alone_after(outcomes), is_alone, "{outcomes}");
        }
    }

    #[test]
    fn refusals_of_a_quota_concern_all() {
        for outcomes in [
            "aBaBaA",
            "aBaBab",
            "aBbAaBbAaBbAaBbA",
            "aAaBaAaBaAaBa",
            "nBnBnBnBn",
        ] {
            assert!(!is_alone_after(outcomes), "{outcomes}");
        }
    }

    /// The first refused caller may be any of them.
    #[test]
    fn most_refused_caller_is_accused() {
        assert!(is_alone_after("bbaaaBaBa"));
        assert!(!is_alone_after("bbbbbaBaBa"));
    }

    #[test]
    fn few_outcomes_end_the_finding() {
        let long = "aBaBaBaBaBaBaBa".to_owned();
        assert!(is_alone_after(&long));
        assert!(!is_alone_after(&(long + "AA")));
    }
}
