//! The rules: whether a request is sent again, and when.

use std::fmt;
use std::time::Duration;

use http::request::Parts;
use steadfast_core::layer::{Next, Observers, TICK};
use steadfast_core::{Deadline, RetryBudget, Safety, Withdrawal};
use tokio::time::Instant;

use super::limits::{Limits, Spent};
use super::outcome::{Decision, Outcome};
use super::refusals::Refusals;
use crate::backoff::{Backoff, Hint, Wait};
use crate::overrides::RetryOverride;
use crate::random::RandomSource;

/// The reason of a request that only a longer wait would help.
pub(crate) const WAIT_TOO_LONG: &str = "the wait does not fit the time that is left";

/// The rules that the services of a layer share.
pub(crate) struct Policy {
    /// Attempts, the first one included.
    pub(crate) max_attempts: u32,
    /// The sum of the waits of a request without a deadline.
    pub(crate) max_wait: Duration,
    /// The waits without a hint.
    pub(crate) backoff: Backoff,
    /// Pays for retries. `None` means no limit.
    pub(crate) budget: Option<RetryBudget>,
    /// The requests that are safe to repeat.
    pub(crate) safety: Safety,
    /// The refusals of all requests.
    pub(crate) refusals: Refusals,
    /// Notified of each retry.
    pub(crate) observers: Observers,
    /// The source of jitter.
    pub(crate) random: RandomSource,
}

impl Policy {
    /// Whether a request may get a second attempt, before its first one.
    pub(crate) fn may_retry(&self, head: &Parts) -> bool {
        let attempts = RetryOverride::of(&head.extensions).max_attempts;
        attempts.unwrap_or(self.max_attempts) > 1
    }

    /// Returns the limits of the request with this head. `noted` marks it as safe to repeat.
    pub(crate) fn limits(&self, head: &Parts, noted: bool) -> Limits {
        let given = RetryOverride::of(&head.extensions);
        Limits {
            max_attempts: given.max_attempts.unwrap_or(self.max_attempts),
            max_wait: given.max_wait.unwrap_or(self.max_wait),
            deadline: Deadline::of(&head.extensions),
            safe: self.is_safe(given, head, noted),
        }
    }

    /// Returns whether the request with this head is safe to repeat.
    fn is_safe(&self, given: RetryOverride, head: &Parts, noted: bool) -> bool {
        let is_safe = || noted || self.safety.allows(head);
        given.safe.unwrap_or_else(is_safe)
    }

    /// Returns whether the request with this head can be repeated after any failure.
    pub(crate) fn may_repeat(&self, head: &Parts, noted: bool) -> bool {
        self.is_safe(RetryOverride::of(&head.extensions), head, noted)
    }

    /// Pays for a rescue. A rescue beside a silent endpoint is a move. Any other one doubles the
    /// work of endpoints that serve, so it costs as much as a retry.
    pub(crate) fn pay_for_rescue(&self, is_silent: bool) -> Option<Option<Withdrawal>> {
        let price = match is_silent {
            true => RetryBudget::MOVE_COST,
            false => RetryBudget::RETRY_COST,
        };
        match &self.budget {
            Some(budget) => budget.try_withdraw(price).map(Some),
            None => Some(None),
        }
    }

    /// Decides what follows an attempt that failed.
    pub(crate) fn decide(
        &self,
        outcome: Outcome,
        limits: Limits,
        spent: Spent,
        now: Instant,
    ) -> Decision {
        let Outcome {
            verdict,
            next,
            attempted,
            ..
        } = outcome;
        if outcome.must_not_be_repeated(limits) {
            return Decision::GiveUp("to send it twice is not safe");
        }
        if outcome.has_followed_timeout(spent) {
            return Decision::GiveUp("only one attempt follows a timeout");
        }
        match next {
            Some(Next::Never) => Decision::GiveUp("no endpoint may take it"),
            Some(Next::Later(_)) => Decision::GiveUp(WAIT_TOO_LONG),
            Some(Next::Now) if attempted => {
                self.at_once(outcome, outcome.price_of_move(), limits, spent, now)
            }
            Some(Next::RetrySameNow) if attempted => {
                self.at_once(outcome, RetryBudget::RETRY_COST, limits, spent, now)
            }
            // Without an attempt since, an immediate repeat could go on forever.
            Some(Next::Now | Next::RetrySameNow) => {
                self.wait(outcome, Duration::ZERO, limits, spent, now)
            }
            Some(Next::At(at)) => {
                let floor = at.saturating_duration_since(now);
                self.wait(outcome, floor, limits, spent, now)
            }
            None if spent.allows(outcome.same_endpoint()) => {
                let floor = verdict.hint().unwrap_or_default();
                self.wait(outcome, floor, limits, spent, now)
            }
            // Without a report of a balancer, only the same endpoint is left.
            None | Some(_) => Decision::GiveUp("its outcome allows no other attempt"),
        }
    }

    /// Decides if an endpoint can take the request at once.
    fn at_once(
        &self,
        outcome: Outcome,
        price: u32,
        limits: Limits,
        spent: Spent,
        now: Instant,
    ) -> Decision {
        let counts = !outcome.is_refused();
        if counts && spent.attempts >= limits.max_attempts {
            return Decision::GiveUp("no attempt is left");
        }
        if limits.is_late(now) {
            return Decision::GiveUp("its deadline has come");
        }
        self.pay(outcome, price, (Duration::ZERO, counts), now)
    }

    /// Decides if the request has to wait for `floor` at least.
    fn wait(
        &self,
        outcome: Outcome,
        floor: Duration,
        limits: Limits,
        spent: Spent,
        now: Instant,
    ) -> Decision {
        let (owed, deadline) = (outcome.owed, limits.deadline);
        let has_left = spent.attempts < limits.max_attempts;
        let is_free = outcome.is_free(floor, limits);
        if owed && !is_free && !has_left {
            return Decision::GiveUp("no attempt is left");
        }
        let left = limits.time_left(spent, now);
        let Some(spare) = left.checked_sub(floor) else {
            return Decision::GiveUp(WAIT_TOO_LONG);
        };
        let spare = if deadline.is_some() { spare / 2 } else { spare };
        let drawn = self.draw(outcome, if owed { spent.waits } else { 0 }, spent);
        let more = drawn.with_floor(floor).saturating_sub(floor).min(spare);
        let wait = whole_millis(floor, more).max(TICK);
        // The deadline would cut an attempt shortly before it. The timeout would hide this failure.
        let took = match outcome.attempted {
            true => now.saturating_duration_since(outcome.started),
            false => Duration::ZERO,
        };
        let is_late = left.saturating_sub(wait) < self.backoff.bound(0).max(took);
        let counts = owed && (is_late || !is_free);
        if counts && !has_left {
            return Decision::GiveUp("no attempt is left");
        }
        // A wait that ends with the deadline would leave no time for the attempt.
        if wait > left || deadline.is_some() && wait == left {
            return Decision::GiveUp(WAIT_TOO_LONG);
        }
        let price = if is_free { 0 } else { outcome.price_of_retry() };
        self.pay(outcome, price, (wait, counts), now)
    }

    /// Pays for the next attempt, which starts after `wait` and may count.
    fn pay(
        &self,
        outcome: Outcome,
        price: u32,
        (wait, counts): (Duration, bool),
        now: Instant,
    ) -> Decision {
        let cost = match &self.budget {
            Some(budget) => match outcome.pay(budget, price, now) {
                Some(withdrawal) => Some(withdrawal),
                None => return Decision::GiveUp("the budget is spent"),
            },
            None => None,
        };
        Decision::Again { wait, counts, cost }
    }

    /// Draws the wait before the next attempt: the hint is a floor, and jitter adds to it.
    fn draw(&self, outcome: Outcome, waits: u32, spent: Spent) -> Wait {
        let random = || self.random.draw();
        let hint = outcome.verdict.hint().filter(|_| outcome.is_throttled());
        let Some(wait) = hint else {
            return self.backoff.draw(waits, spent.last_wait, random);
        };
        // A balancer admits one probe after the other, so its own crowd needs no spread.
        let others = outcome.next.map_or(outcome.others, |_| 0);
        let draw = Backoff::draw_for_hint;
        draw(
            &self.backoff,
            waits,
            Hint { wait, others },
            spent.last_wait,
            random,
        )
    }
}

/// Returns `floor + more`, in whole milliseconds if possible. A timer rounds up to them, and many
/// rounded waits would exceed their limit.
fn whole_millis(floor: Duration, more: Duration) -> Duration {
    let wait = floor + more;
    let rest = Duration::from_nanos(u64::from(wait.subsec_nanos() % 1_000_000));
    if more >= rest { wait - rest } else { wait }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("max_attempts", &self.max_attempts)
            .field("max_wait", &self.max_wait)
            .field("backoff", &self.backoff)
            .field("budget", &self.budget)
            .field("safety", &self.safety)
            .field("observers", &self.observers)
            .finish_non_exhaustive()
    }
}
