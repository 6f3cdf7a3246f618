//! The rules: what to do after an attempt. No service, no future, no clock of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, request::Parts};
use steadfast_core::{
    Class, Deadline, Next, Observers, RetryBudget, SameEndpoint, Verdict, Withdrawal,
};
use tokio::time::Instant;

use crate::backoff::Backoff;

/// The shortest wait, as a timer counts. Whoever cannot take a request now would otherwise be asked
/// again at once, and for ever.
const TICK: Duration = Duration::from_millis(1);

/// Says in the extensions of a request whether it is safe to repeat, whatever its method is.
///
/// Without it that depends on the method, on an `idempotency-key`, and on
/// [`retry_non_idempotent`](crate::RetryOn429Layer::retry_non_idempotent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeToRetry(pub bool);

/// What a layer and all its services share.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) max_attempts: u32,
    pub(crate) max_wait: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) retry_non_idempotent: bool,
    pub(crate) observers: Observers,
    pub(crate) rng: Mutex<fastrand::Rng>,
}

/// What a request has used up so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Attempts that count. Moving on after a refusal does not.
    pub(crate) attempts: u32,
    /// How often it waited.
    pub(crate) waits: u32,
    /// How long it waited in all.
    pub(crate) slept: Duration,
    /// Failures that allow only one further attempt at the same endpoint.
    pub(crate) once: u32,
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
    /// Whether the request is safe to repeat, although it may have been processed.
    pub(crate) safe: bool,
    pub(crate) deadline: Option<Deadline>,
}

/// What to do now.
#[derive(Debug)]
pub(crate) enum Decision {
    GiveUp,
    /// Try again after `wait`, which may be zero.
    Again {
        wait: Duration,
        /// Whether the next attempt counts.
        counts: bool,
        cost: Option<Withdrawal>,
    },
}

impl Policy {
    pub(crate) fn is_safe(&self, head: &Parts) -> bool {
        match head.extensions.get() {
            Some(SafeToRetry(safe)) => *safe,
            None => {
                self.retry_non_idempotent
                    || head.method.is_idempotent()
                    || has_idempotency_key(&head.headers, &head.method)
            }
        }
    }

    pub(crate) fn decide(&self, outcome: Outcome, spent: Spent, now: Instant) -> Decision {
        let Outcome {
            verdict,
            next,
            attempted,
            owed,
            safe,
            deadline,
        } = outcome;
        if attempted && !safe && !verdict.proves_unprocessed() {
            return Decision::GiveUp;
        }
        match next {
            Some(Next::Never) => Decision::GiveUp,
            Some(Next::Now) => self.move_on(verdict, spent, deadline, now),
            Some(Next::At(at)) => {
                let floor = at.saturating_duration_since(now);
                self.wait(verdict, floor, owed, spent, deadline, now)
            }
            None if may_repeat(verdict.same_endpoint(), spent) => {
                let floor = verdict.hint().unwrap_or_default();
                self.wait(verdict, floor, owed, spent, deadline, now)
            }
            // A layer of another kind may be below, and more than this one knows. Without its
            // word, only the same endpoint can be meant.
            None | Some(_) => Decision::GiveUp,
        }
    }

    /// Another endpoint can take the request at once.
    fn move_on(
        &self,
        verdict: Verdict,
        spent: Spent,
        deadline: Option<Deadline>,
        now: Instant,
    ) -> Decision {
        let counts = !verdict.class().is_refusal();
        if counts && spent.attempts >= self.max_attempts
            || deadline.is_some_and(|deadline| deadline.remaining(now).is_zero())
        {
            return Decision::GiveUp;
        }
        self.pay(
            if counts { RetryBudget::MOVE_COST } else { 0 },
            Duration::ZERO,
            counts,
        )
    }

    /// Nobody can take the request now.
    fn wait(
        &self,
        verdict: Verdict,
        floor: Duration,
        owed: bool,
        spent: Spent,
        deadline: Option<Deadline>,
        now: Instant,
    ) -> Decision {
        if owed && spent.attempts >= self.max_attempts {
            return Decision::GiveUp;
        }
        let left = match deadline {
            Some(deadline) => deadline.remaining(now),
            None => self.max_wait.saturating_sub(spent.slept),
        };
        let Some(spare) = left.checked_sub(floor) else {
            return Decision::GiveUp;
        };
        let spare = if deadline.is_some() { spare / 2 } else { spare };
        let waits = if owed { spent.waits } else { 0 };
        let wait = whole_millis(floor, self.draw(waits).min(spare)).max(TICK);
        // A wait that ends with the deadline would leave no time for the attempt.
        if wait > left || deadline.is_some() && wait == left {
            return Decision::GiveUp;
        }
        let cost = match verdict.class() {
            _ if !owed => 0,
            Class::RateLimited => RetryBudget::THROTTLED_COST,
            _ => RetryBudget::RETRY_COST,
        };
        self.pay(cost, wait, owed)
    }

    fn pay(&self, cost: u32, wait: Duration, counts: bool) -> Decision {
        let cost = match &self.budget {
            Some(budget) => match budget.try_withdraw(cost) {
                Some(withdrawal) => Some(withdrawal),
                None => return Decision::GiveUp,
            },
            None => None,
        };
        Decision::Again { wait, counts, cost }
    }

    fn draw(&self, waits: u32) -> Duration {
        // A generator is never half advanced, so a panic cannot have broken it.
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.backoff.draw(waits, &mut rng)
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

/// A `GET` needs no key, and a key on a method that is not `POST` or `PATCH` has no meaning.
fn has_idempotency_key(headers: &HeaderMap, method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PATCH) && headers.contains_key("idempotency-key")
}

#[cfg(test)]
mod tests;
