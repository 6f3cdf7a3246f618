//! A caller with refused requests beside others with served ones. Callers pass the time.
//!
//! * **Premise.** A quota refuses the requests of all callers alike. A server that refuses only one
//!   caller, for example for words that it does not accept, has no used-up quota.
//! * **Effect.** The caller with the most refusals is accused. A round is a refusal of this caller,
//!   a success of another one, and again a refusal of this caller. From [`ROUNDS`] recent rounds
//!   on, the refusals of the accused caller concern only itself. Within a send rate, they add to
//!   the sum of a futile one.
//! * **Saving.** Half of the requests for a model are of a caller that is always refused. Without
//!   this finding, 30 % of the others are rejected or delayed, and none with it.
//! * **If the premise fails,** a quota refuses one caller by chance between successes of others.
//!   But it serves this caller as well, or refuses others. Each of these outcomes takes two rounds
//!   back. A round lasts for at least a usual answer, so that successes are not too late for it.
//! * **Tokens.** A quota in tokens refuses large requests and serves small ones. So a success
//!   counts only if its request has at least half of the tokens of the refused one.
//! * **Callers** are known by their credentials, and only while a limit or a test is known. The
//!   successes of unknown callers count for the others. Two callers with refusals excuse none.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// The rounds that show that the refusals concern only one caller.
const ROUNDS: u32 = 2;
/// The largest number of rounds that are counted, so that few other outcomes suffice later.
const MOST_ROUNDS: u32 = 4;
/// The rounds that an outcome takes back that does not agree.
const DISAGREES: u32 = 2;
/// The largest lead, so that a new caller with refusals is accused soon.
const MOST_LEAD: u32 = 10;
/// The time after which the last round, or the last refusal of another caller, is not recent.
const RECENT: Duration = Duration::from_secs(10);
/// The time without tests by others after a refused one: the quota is real.
const REFUTED: Duration = Duration::from_secs(60);

/// The sender of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sender {
    /// The hash of the caller's credential, if it was noted.
    pub(crate) caller: Option<NonZeroU64>,
    /// The estimated tokens of the request, or 0.
    pub(crate) tokens: u64,
}

/// The caller with the most refusals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accused {
    caller: Option<NonZeroU64>,
    /// When the caller was last refused.
    last: Option<Instant>,
    /// The refusals of this caller, less the ones of others since its accusation.
    lead: u32,
    rounds: u32,
    /// When the first refused attempt of the present round was sent, and its tokens.
    begun: Option<(Instant, u64)>,
    /// When the last served attempt of another caller was sent.
    served: Option<Instant>,
    /// When the last round ended.
    ended: Option<Instant>,
    /// When another known caller was last refused.
    other: Option<Instant>,
    /// When a test by another caller was last refused.
    refuted: Option<Instant>,
}

impl Accused {
    /// Records a refusal at `now` of an attempt that was sent at `sent`. An answer usually takes
    /// `usual`.
    pub(super) fn refused(
        &mut self,
        sender: Sender,
        (sent, usual): (Instant, Duration),
        now: Instant,
    ) {
        if self.is(sender) {
            self.lead = (self.lead + 1).min(MOST_LEAD);
            self.last = Some(now);
            self.end_round(sender, (sent, usual), now);
            return;
        }
        self.disagree();
        if sender.caller.is_none() {
            return;
        }
        let is_recent = is_recent(self.last, now);
        self.other = is_recent.then_some(now);
        self.lead = self.lead.saturating_sub(1);
        if self.lead == 0 || !is_recent {
            self.accuse(sender, sent, now);
        }
    }

    fn accuse(&mut self, sender: Sender, sent: Instant, now: Instant) {
        *self = Self {
            caller: sender.caller,
            last: Some(now),
            lead: 1,
            begun: Some((sent, sender.tokens)),
            other: self.other,
            refuted: self.refuted,
            ..Self::default()
        };
    }

    /// Records the success of an attempt that was sent at `sent`.
    pub(super) fn served(&mut self, sender: Sender, sent: Instant) {
        let refused = self.begun.map_or(0, |(_, tokens)| tokens);
        if self.is(sender) {
            self.disagree();
        } else if sender.tokens.saturating_mul(2) >= refused {
            self.served = self.served.max(Some(sent));
        }
    }

    /// Returns whether the refusals of this sender concern only its caller.
    pub(super) fn excuses(&self, sender: Sender, now: Instant) -> bool {
        self.is(sender) && self.is_alone(now)
    }

    /// Returns whether the refusals concern only the accused caller.
    pub(super) fn is_alone(&self, now: Instant) -> bool {
        self.rounds >= ROUNDS && is_recent(self.ended, now)
    }

    /// Returns the accused caller.
    pub(super) fn caller(&self) -> Option<NonZeroU64> {
        self.caller
    }

    /// Records that a test by another caller was refused.
    pub(super) fn refute(&mut self, now: Instant) {
        self.refuted = Some(now);
    }

    /// Returns whether other callers test the refusals: none of them was refused recently.
    pub(super) fn is_tested(&self, now: Instant) -> bool {
        self.is_only(now) && !is_within(REFUTED, self.refuted, now)
    }

    /// Ends the accusation of a caller without a recent refusal.
    pub(super) fn forget_old(&mut self, now: Instant) {
        if !is_recent(self.last, now) {
            let refuted = self.refuted;
            *self = Self {
                refuted,
                ..Self::default()
            };
        }
    }

    /// Returns whether no other known caller was refused recently.
    pub(super) fn is_only(&self, now: Instant) -> bool {
        !is_recent(self.other, now)
    }

    /// Returns whether the sender is the accused caller.
    pub(super) fn is(&self, sender: Sender) -> bool {
        sender.caller.is_some() && sender.caller == self.caller
    }

    fn end_round(&mut self, sender: Sender, (sent, usual): (Instant, Duration), now: Instant) {
        let Some((begun, _)) = self.begun else {
            return;
        };
        let between = |served: Instant| begun < served && served < sent;
        let is_long = sent.saturating_duration_since(begun) >= usual;
        if is_long && self.served.is_some_and(between) {
            self.rounds = (self.rounds + 1).min(MOST_ROUNDS);
            self.begun = Some((sent, sender.tokens));
            self.ended = Some(now);
        }
    }

    fn disagree(&mut self) {
        self.rounds = self.rounds.saturating_sub(DISAGREES);
    }
}

fn is_recent(at: Option<Instant>, now: Instant) -> bool {
    is_within(RECENT, at, now)
}

fn is_within(time: Duration, at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Records outcomes, one each second: `x` and `y` are refusals of two callers, and `X` and `Y`
    /// their successes. `n` and `N` have no credential. `-` is a second without an outcome. Returns
    /// whether the refusals concern only one caller in the end.
    fn is_alone_after(outcomes: &str) -> bool {
        is_alone_with((outcomes, 0, 0), SECOND)
    }

    /// The same with the tokens of both callers, and the usual time of an answer.
    fn is_alone_with((outcomes, x, y): (&str, u64, u64), usual: Duration) -> bool {
        let mut accused = Accused::default();
        let mut now = Instant::now();
        for outcome in outcomes.chars() {
            now += SECOND;
            let (caller, tokens) = match outcome.to_ascii_lowercase() {
                'x' => (NonZeroU64::new(1), x),
                'y' => (NonZeroU64::new(2), y),
                'n' => (None, y),
                _ => continue,
            };
            let sender = Sender { caller, tokens };
            match outcome.is_lowercase() {
                true => accused.refused(sender, (now, usual), now),
                false => accused.served(sender, now),
            }
        }
        accused.is_alone(now)
    }

    #[test]
    fn refusals_of_one_caller_between_successes_of_others_concern_only_it() {
        for (outcomes, is_alone) in [
            ("xYx", false),
            ("xYxYx", true),
            ("xxxYxxxYYYxx", true),
            ("xNxNx", true),
            ("xxxxYYYYYx", false),
        ] {
            assert_eq!(is_alone_after(outcomes), is_alone, "{outcomes}");
        }
    }

    #[test]
    fn refusals_of_a_quota_concern_all() {
        for outcomes in [
            "xYxYxX",
            "xYxYxy",
            "xYxYxn",
            "xYyXxYyXxYyXxYyX",
            "xXxYxXxYxXxYx",
            "nYnYnYnYn",
        ] {
            assert!(!is_alone_after(outcomes), "{outcomes}");
        }
    }

    /// The first refused caller may be any of them.
    #[test]
    fn most_refused_caller_is_accused() {
        assert!(is_alone_after("yyxxxYxYx"));
        assert!(!is_alone_after("yyyyyxYxYx"));
    }

    #[test]
    fn few_outcomes_end_the_finding() {
        let long = "xYxYxYxYxYxYxYx".to_owned();
        assert!(is_alone_after(&long));
        assert!(!is_alone_after(&(long + "XX")));
    }

    /// The caller may be the only one by then, or may have left.
    #[test]
    fn finding_ends_with_its_rounds() {
        assert!(is_alone_after("xYxYx---------"));
        assert!(!is_alone_after("xYxYx----------"));
        assert!(!is_alone_after("xYxYxxxxxxxxxxx"));
    }

    /// Its successes would come later than the short ones of others.
    #[test]
    fn round_lasts_for_a_usual_answer() {
        assert!(is_alone_with(("xYxYx", 0, 0), 2 * SECOND));
        assert!(!is_alone_with(("xYxYx", 0, 0), 3 * SECOND));
        assert!(is_alone_with(("xYxYxYxYx", 0, 0), 4 * SECOND));
    }

    #[test]
    fn small_requests_are_no_evidence_about_large_ones() {
        for (large, small, is_alone) in [(100, 49, false), (100, 50, true), (0, 1, true)] {
            assert_eq!(is_alone_with(("xYxYx", large, small), SECOND), is_alone);
        }
    }
}
