//! The rules: what to do after an attempt. No service, no future, no clock of its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::request::Parts;
use steadfast_core::layer::{Next, Observers, TICK};
use steadfast_core::{Class, Deadline, RetryBudget, Safety, SameEndpoint, Verdict, Withdrawal};
use tokio::time::Instant;

use crate::backoff::{Backoff, Wait};
use crate::overrides::RetryOverride;

/// What a layer and all its services share.
pub(crate) struct Policy {
    pub(crate) max_attempts: u32,
    pub(crate) max_wait: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) safety: Safety,
    pub(crate) observers: Observers,
    pub(crate) chance: Chance,
}

/// Where random numbers from 0 up to 1 come from.
pub(crate) enum Chance {
    Seeded(Mutex<fastrand::Rng>),
    Given(Arc<dyn Fn() -> f64 + Send + Sync>),
}

/// What one request may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_attempts: u32,
    pub(crate) max_wait: Duration,
    pub(crate) deadline: Option<Deadline>,
    /// Whether it is safe to repeat, although it may have been processed.
    pub(crate) safe: bool,
}

/// What a request has used up so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Attempts that count. Moving on after a refusal does not.
    pub(crate) attempts: u32,
    /// How often it waited, and how long it was to wait the last time.
    pub(crate) waits: u32,
    pub(crate) last_wait: Duration,
    /// How long it waited in all.
    pub(crate) slept: Duration,
    /// Failures that allow only one further attempt at the same endpoint.
    pub(crate) once: u32,
}

impl Spent {
    pub(crate) const FIRST_ATTEMPT: Self = Self {
        attempts: 1,
        waits: 0,
        last_wait: Duration::ZERO,
        slept: Duration::ZERO,
        once: 0,
    };
}

/// What is known after an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// What the balancer said, if there is one.
    pub(crate) next: Option<Next>,
    /// Whether an endpoint was asked. A balancer may refuse a request without asking any.
    pub(crate) attempted: bool,
    /// Whether the next attempt is to be counted and paid for. The first attempt is free, and so
    /// is one that was paid for already, and then not made.
    pub(crate) owed: bool,
    /// The tokens that are reserved for the next attempt already.
    pub(crate) paid: u32,
    /// Whether no endpoint was asked yet, so that the next attempt is the first one.
    pub(crate) first: bool,
}

impl Outcome {
    fn must_not_be_repeated(&self, limits: Limits) -> bool {
        self.attempted && !limits.safe && !self.verdict.proves_unprocessed()
    }

    /// Whether nobody knows if the request was processed, and to do that twice is not safe.
    pub(crate) fn may_have_been_done(&self, limits: Limits) -> bool {
        let class = self.verdict.class();
        let says_nothing = matches!(
            class,
            Class::Timeout | Class::Transport | Class::ServerError | Class::Overloaded
        );
        says_nothing && self.must_not_be_repeated(limits)
    }
}

/// What to do now.
#[derive(Debug)]
pub(crate) enum Decision {
    /// For this reason.
    GiveUp(&'static str),
    /// Try again after `wait`, which may be zero.
    Again {
        wait: Duration,
        /// Whether the next attempt counts.
        counts: bool,
        cost: Option<Withdrawal>,
    },
}

impl Policy {
    /// Whether a request may have a second attempt, before anything is known.
    pub(crate) fn may_retry(&self, head: &Parts) -> bool {
        let attempts = RetryOverride::of(&head.extensions).max_attempts;
        attempts.unwrap_or(self.max_attempts) > 1
    }

    pub(crate) fn limits(&self, head: &Parts) -> Limits {
        let given = RetryOverride::of(&head.extensions);
        Limits {
            max_attempts: given.max_attempts.unwrap_or(self.max_attempts),
            max_wait: given.max_wait.unwrap_or(self.max_wait),
            deadline: Deadline::of(&head.extensions),
            safe: given.safe.unwrap_or_else(|| self.safety.allows(head)),
        }
    }

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
        match next {
            Some(Next::Never) => Decision::GiveUp("no endpoint may take it"),
            Some(Next::Now) if attempted => {
                let refused = verdict.class().is_refusal();
                let price = if refused { 0 } else { RetryBudget::MOVE_COST };
                self.at_once(outcome, price, limits, spent, now)
            }
            Some(Next::RetrySameNow) if attempted => {
                self.at_once(outcome, RetryBudget::RETRY_COST, limits, spent, now)
            }
            // Who says so and then asks nobody would be asked again at once, and for ever.
            Some(Next::Now | Next::RetrySameNow) => {
                self.wait(outcome, Duration::ZERO, limits, spent, now)
            }
            Some(Next::At(at)) => {
                let floor = at.saturating_duration_since(now);
                self.wait(outcome, floor, limits, spent, now)
            }
            None if may_repeat(verdict.same_endpoint(), spent) => {
                let floor = verdict.hint().unwrap_or_default();
                self.wait(outcome, floor, limits, spent, now)
            }
            // A layer of another kind may be below, and more than this one knows. Without its
            // word, only the same endpoint can be meant.
            None | Some(_) => Decision::GiveUp("its outcome allows no other attempt"),
        }
    }

    /// An endpoint can take the request at once.
    fn at_once(
        &self,
        outcome: Outcome,
        price: u32,
        limits: Limits,
        spent: Spent,
        now: Instant,
    ) -> Decision {
        let counts = !outcome.verdict.class().is_refusal();
        let late = |deadline: Deadline| deadline.remaining(now).is_zero();
        if counts && spent.attempts >= limits.max_attempts {
            return Decision::GiveUp("no attempt is left");
        }
        if limits.deadline.is_some_and(late) {
            return Decision::GiveUp("its deadline has come");
        }
        self.pay(outcome, price, Duration::ZERO, counts)
    }

    /// Nobody can take the request now.
    fn wait(
        &self,
        outcome: Outcome,
        floor: Duration,
        limits: Limits,
        spent: Spent,
        now: Instant,
    ) -> Decision {
        let Outcome { verdict, owed, .. } = outcome;
        if owed && spent.attempts >= limits.max_attempts {
            return Decision::GiveUp("no attempt is left");
        }
        let deadline = limits.deadline;
        let left = limits.time_left(spent, now);
        let Some(spare) = left.checked_sub(floor) else {
            return Decision::GiveUp("the wait does not fit the time that is left");
        };
        let spare = if deadline.is_some() { spare / 2 } else { spare };
        let drawn = self.draw(verdict, if owed { spent.waits } else { 0 }, spent);
        let more = drawn.with_floor(floor).saturating_sub(floor).min(spare);
        let wait = whole_millis(floor, more).max(TICK);
        // A wait that ends with the deadline would leave no time for the attempt.
        if wait > left || deadline.is_some() && wait == left {
            return Decision::GiveUp("the wait does not fit the time that is left");
        }
        let price = match verdict.class() {
            Class::RateLimited => RetryBudget::THROTTLED_COST,
            _ => RetryBudget::RETRY_COST,
        };
        self.pay(outcome, price, wait, owed)
    }

    /// Reserves what is not reserved yet of the price of the next attempt.
    fn pay(&self, outcome: Outcome, price: u32, wait: Duration, counts: bool) -> Decision {
        let cost = if outcome.first {
            0
        } else {
            price.saturating_sub(outcome.paid)
        };
        let cost = match &self.budget {
            Some(budget) => match budget.try_withdraw(cost) {
                Some(withdrawal) => Some(withdrawal),
                None => return Decision::GiveUp("the budget is spent"),
            },
            None => None,
        };
        Decision::Again { wait, counts, cost }
    }

    fn draw(&self, verdict: Verdict, waits: u32, spent: Spent) -> Wait {
        let chance = || self.chance.draw();
        if matches!(verdict.class(), Class::RateLimited) && verdict.hint().is_some() {
            let draw = Backoff::draw_for_hint;
            return draw(&self.backoff, waits, spent.last_wait, chance);
        }
        self.backoff.draw(waits, spent.last_wait, chance)
    }
}

impl Limits {
    /// How much longer the request may wait.
    pub(crate) fn time_left(&self, spent: Spent, now: Instant) -> Duration {
        match self.deadline {
            Some(deadline) => deadline.remaining(now),
            None => self.max_wait.saturating_sub(spent.slept),
        }
    }
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

impl Chance {
    pub(crate) fn seeded(rng: fastrand::Rng) -> Self {
        Self::Seeded(Mutex::new(rng))
    }

    fn draw(&self) -> f64 {
        match self {
            // A generator is never half advanced, so a panic cannot have broken it.
            Self::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).f64(),
            Self::Given(draw) => draw(),
        }
    }
}

/// `floor` and more, in whole milliseconds if possible: a timer rounds up to them, and many waits
/// would add up to more than they may.
fn whole_millis(floor: Duration, more: Duration) -> Duration {
    let wait = floor + more;
    let rest = Duration::from_nanos(u64::from(wait.subsec_nanos() % 1_000_000));
    if more >= rest { wait - rest } else { wait }
}

fn may_repeat(rule: SameEndpoint, spent: Spent) -> bool {
    match rule {
        SameEndpoint::AfterHint | SameEndpoint::AfterBackoff => true,
        SameEndpoint::OnceAfterBackoff => spent.once <= 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
