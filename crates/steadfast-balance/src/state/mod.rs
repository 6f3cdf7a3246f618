//! The state of one endpoint of a pool.

pub(crate) mod availability;
pub(crate) mod bench;
pub(crate) mod check_result;
pub(crate) mod cooldown;
mod latency;
pub(crate) mod limits;
mod load;
mod millis;
pub(crate) mod origin;
pub(crate) mod queue_marks;
pub(crate) mod quota;
mod rate;
pub(crate) mod reason;
pub(crate) mod recovery;
mod rejections;
#[cfg(feature = "serde")]
pub(crate) mod serialize;
pub(crate) mod served;
mod slow_start;
pub(crate) mod trigger;

use std::fmt;
use std::time::Duration;

use http::{StatusCode, Uri};
use steadfast_breaker::CircuitBreaker;
use steadfast_core::layer::{Observers, saturating_add};
use steadfast_core::{BreakerEffect, BreakerState, Class, InvalidConfig, Scope, Verdict};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::state::availability::Availability;
use crate::state::bench::{Cause, RequestId};
use crate::state::check_result::LastCheck;
use crate::state::cooldown::Refusal;
use crate::state::cooldown::accused::Sender;
use crate::state::limits::EndpointLimits;
use crate::state::limits::attempt::Cooled;
use crate::state::limits::concerned::Concerned;
use crate::state::limits::demand::Demand;
use crate::state::limits::tickets::{Level, Tickets};
use crate::state::load::LoadStats;
use crate::state::millis::millis;
use crate::state::origin::Origin;
use crate::state::queue_marks::QueueMarks;
use crate::state::reason::{LastFailure, Reason};
use crate::state::rejections::Rejections;
use crate::state::trigger::Trigger;
use steadfast_core::layer::stable_hash;

/// The longest time until a waiter looks again at an endpoint in its slow start.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The interval of the early probes at an endpoint of a pool without a closed breaker.
pub(crate) const EARLY_PROBES: Duration = Duration::from_secs(1);
/// The number of unanswered probes of an endpoint from which no probe is early. An endpoint that
/// hangs then has as many attempts as in the first half minute of one per second.
const MAX_UNANSWERED: u32 = 30;

/// An endpoint with its breaker, cooldown, quota and load.
pub(crate) struct EndpointState {
    /// Unique in a pool. An endpoint that returns under its old name gets a new id.
    pub(crate) id: u64,
    /// The stable hash of the name.
    pub(crate) name_hash: u64,
    /// The start of the pool, which is the origin of the times of the endpoint.
    pub(crate) start: Instant,
    pub(crate) config: Endpoint,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) limits: EndpointLimits,
    pub(crate) load: LoadStats,
    pub(crate) queue_marks: QueueMarks,
    /// The rejections of the own credential of the endpoint.
    pub(crate) rejections: Rejections,
    /// The result of the last health check.
    pub(crate) last_check: LastCheck,
    /// The last failure that the breaker counted.
    pub(crate) last_failure: LastFailure,
}

impl EndpointState {
    pub(crate) fn new(
        mut endpoint: Endpoint,
        id: u64,
        start: Instant,
        learned_rates: bool,
        observers: &Observers,
    ) -> Result<Self, InvalidConfig> {
        endpoint.validate()?;
        endpoint.join_texts();
        let breaker = endpoint.build_breaker(observers.clone())?;
        Ok(Self {
            id,
            name_hash: stable_hash(endpoint.name.as_str().as_bytes()),
            start,
            limits: EndpointLimits::new(&endpoint, endpoint.learned_rate && learned_rates, start),
            config: endpoint,
            breaker,
            load: LoadStats::new(start.elapsed()),
            queue_marks: QueueMarks::default(),
            rejections: Rejections::default(),
            last_check: LastCheck::default(),
            last_failure: LastFailure::default(),
        })
    }

    /// Returns whether an attempt would be admitted now.
    ///
    /// This is the fast path of [`availability`](Self::availability). A search costs 39
    /// instructions for each healthy endpoint, or 50 with the other cases in the same function.
    #[inline]
    pub(crate) fn is_available(&self, demand: &Demand, now: Instant) -> bool {
        let is_healthy =
            self.limits.is_clear() && self.breaker.admits_all() && self.load.is_unbounded();
        is_healthy && demand.tokens.is_none() || self.would_admit(demand, now)
    }

    /// Returns whether an attempt would be admitted now, at an endpoint in any state.
    #[inline(never)]
    fn would_admit(&self, demand: &Demand, now: Instant) -> bool {
        self.limits.would_admit(demand, now)
            && self.limits.has_tokens_at(demand, now).is_none()
            && self.breaker.at(now).would_admit()
            && self.load.has_room()
    }

    /// Returns when an attempt would be admitted.
    pub(crate) fn availability(&self, demand: &Demand, now: Instant) -> Availability {
        let (mut ready, mut cools) = (now, false);
        if self.limits.may_limit(demand) {
            (ready, cools) = self.limits.readiness(demand, now);
        }
        if let Some(wait) = self.breaker.at(now).retry_in() {
            let at = saturating_add(now, wait).max(ready);
            return Availability::Broken {
                at,
                last_resort: !cools && !self.breaker.is_isolated(),
                early: (!cools).then(|| self.early_probe(at, ready, now)).flatten(),
            };
        }
        let tokens = demand
            .tokens
            .and_then(|_| self.limits.has_tokens_at(demand, now));
        if cools || tokens.is_some_and(|at| at > ready) {
            Availability::Limited(tokens.map_or(ready, |at| at.max(ready)))
        } else if ready > now {
            Availability::Paced(ready)
        } else if !self.load.has_room() {
            // The end of an attempt notifies the waiters earlier.
            Availability::Paced(saturating_add(now, LOOK_AGAIN))
        } else {
            Availability::Now
        }
    }

    /// Returns when an early probe is due, or the outcome of a probe may be known. `at` is the end
    /// of the open time.
    fn early_probe(&self, at: Instant, ready: Instant, now: Instant) -> Option<Instant> {
        let wait = match self.load.probes() < MAX_UNANSWERED {
            true => self.breaker.at(now).early_retry_in(EARLY_PROBES),
            false => self.breaker.at(now).retry_in(),
        };
        // A probe needs a slot of the send rate too.
        let early = saturating_add(now, wait.unwrap_or_default()).max(ready);
        let is_early = early < at || self.breaker.state() == BreakerState::HalfOpen;
        is_early.then_some(early)
    }

    /// Returns the end of the waits for the next success, if a probe has succeeded and the breaker
    /// is not closed yet. `shortest` is the shortest wait.
    pub(crate) fn recovery_wait_end(&self, shortest: Duration) -> Option<Instant> {
        if !self.breaker.is_recovering() {
            return None;
        }
        let seldom = self.load.latency.seldom_more().unwrap_or_default();
        let last = saturating_add(self.start, self.load.served.last());
        Some(saturating_add(last, seldom.max(shortest)))
    }

    /// Returns whether the endpoint serves other requests than the failing ones.
    pub(crate) fn serves(&self, now: Instant) -> bool {
        self.load.served.is_recent(self.since_start(now))
    }

    /// Returns whether the endpoint has served a request since `begin`.
    pub(crate) fn has_served_since(&self, begin: Instant) -> bool {
        // Both are whole milliseconds, so a success of the same instant is an earlier one.
        millis(self.load.served.last()) > millis(self.since_start(begin))
    }

    /// Returns the time since the pool was built.
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Returns the instant at which an attempt was admitted.
    pub(crate) fn sent_at(&self, tickets: &Tickets) -> Instant {
        saturating_add(self.start, tickets.pool_age())
    }

    /// Returns the time since an attempt was admitted.
    pub(crate) fn time_of(&self, tickets: &Tickets, now: Instant) -> Duration {
        self.since_start(now).saturating_sub(tickets.pool_age())
    }

    /// Counts an attempt that is sent.
    pub(crate) fn enter(&self, tickets: &mut Tickets, tokens: Option<u64>) {
        self.load.enter(tickets.pool_age());
        self.limits.sent(tickets, tokens);
    }

    /// Learns from an attempt that did not succeed. Returns the cooldown, if one begins now.
    pub(crate) fn refused(
        &self,
        tickets: &Tickets,
        (verdict, status): (Verdict, Option<StatusCode>),
        origin: &Origin<'_>,
        now: Instant,
    ) -> Option<Cooled> {
        let is_rejection = is_rejection(verdict, status);
        let failed = matches!(verdict.breaker(), BreakerEffect::Failure);
        if status.is_some() && !is_rejection && !failed {
            self.rejections.accepted(origin.target);
        }
        let trigger = Trigger::Outcome(verdict.class(), status);
        let took = Some(self.time_of(tickets, now));
        if let Some(level) = self.bench_level(tickets, verdict, status) {
            let cause = self.cause((verdict, trigger), origin.request, took);
            let cause = Cause {
                is_own: origin.is_own,
                ..cause
            };
            return (self.limits).benched(tickets, (level, &cause), now, |is_again| {
                let (target, request) = (origin.target, origin.request);
                !is_rejection || self.rejections.rejected(target, request, is_again)
            });
        }
        let limited = self.limited(tickets, (verdict, trigger), (took, origin), now);
        limited.unwrap_or_else(|| {
            if is_about_request(verdict) {
                self.limits.accepted(tickets, now);
            } else {
                self.limits.released(tickets);
            }
            None
        })
    }

    /// Returns the states that the verdict can bench.
    fn bench_level(
        &self,
        tickets: &Tickets,
        verdict: Verdict,
        status: Option<StatusCode>,
    ) -> Option<Level> {
        let is_from_text = verdict.is_class_from_text();
        let can_bench = match verdict.class() {
            _ if verdict.scope() == Scope::Request => false,
            Class::QuotaExhausted => !is_from_text || names_limit(status),
            // Without a key, all models share one state.
            Class::ModelUnavailable => !is_from_text && tickets.has_key(),
            Class::Unauthorized => {
                is_rejection(verdict, status) && self.config.answers_for_its_credential()
            }
            _ => false,
        };
        can_bench.then(|| level(verdict))
    }

    /// Returns the cause of a bench.
    fn cause(
        &self,
        (verdict, trigger): (Verdict, Trigger),
        request: RequestId,
        took: Option<Duration>,
    ) -> Cause {
        Cause {
            class: verdict.class(),
            // A caller may choose the words of a message.
            hint: verdict.hint().filter(|_| !verdict.is_from_text()),
            request,
            trigger,
            took,
            latency: self.load.latency.average(),
            is_own: false,
            // Rejections of different requests have counted, in a family of paths with successes.
            is_confirmed: verdict.class() == Class::Unauthorized,
        }
    }

    /// Learns from a broken body of an attempt with a successful head.
    pub(crate) fn broke(
        &self,
        tickets: &Tickets,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Cooled> {
        // The head has already released the slot of a probe.
        let trigger = Trigger::Outcome(verdict.class(), None);
        if let Some(level) = self.bench_level(tickets, verdict, None) {
            let cause = self.cause((verdict, trigger), RequestId::Unknown, None);
            return (self.limits).benched(tickets, (level, &cause), now, |_| true);
        }
        let origin = Origin::new(None, None);
        self.limited(tickets, (verdict, trigger), (None, &origin), now)
            .flatten()
    }

    /// Begins a cooldown if the verdict reports a limit. Otherwise, returns `None`.
    fn limited(
        &self,
        tickets: &Tickets,
        (verdict, trigger): (Verdict, Trigger),
        (took, origin): (Option<Duration>, &Origin<'_>),
        now: Instant,
    ) -> Option<Option<Cooled>> {
        if verdict.scope() == Scope::Request {
            return None;
        }
        let hint = match (verdict.class(), verdict.hint()) {
            (Class::RateLimited, hint) => hint,
            (Class::Overloaded, Some(hint)) => Some(hint),
            _ => return None,
        };
        let since_start = self.since_start(now);
        let refusal = |seed| Refusal {
            hint,
            took,
            seed,
            usual: self.load.latency.average().unwrap_or_default(),
            testable: verdict.class() == Class::RateLimited,
            trigger,
        };
        let level = level(verdict);
        Some(self.limits.refused(tickets, level, |limits, ticket| {
            // Only a refusal for a rate limit can result from a quota that fills steadily.
            let seed = match verdict.class() {
                Class::RateLimited => limits.quota.rate(since_start),
                _ => None,
            };
            let (cooldown, ticket) = (&limits.cooldown, ticket.of(origin.sender));
            let is_own = |earlier| cooldown.refused_own(ticket, earlier, now);
            if origin.earlier.is_some_and(is_own) {
                return None;
            }
            cooldown.refused(ticket, refusal(seed), now)
        }))
    }

    /// Returns the reason of an open breaker.
    pub(crate) fn failure(&self) -> Reason {
        let last = self.last_failure.get();
        last.unwrap_or_else(|| Reason::with_text(Class::Overloaded, "failures"))
    }

    /// Returns the reason of an attempt with this outcome. The last failure has more details, if it
    /// is of the same class.
    pub(crate) fn reason_of(&self, class: Class, status: Option<StatusCode>) -> Reason {
        let last = self.last_failure.get();
        let last = last.filter(|last| last.class == class && last.status == status);
        last.unwrap_or_else(|| Reason::new(class, status, None))
    }

    /// Ends all cooldowns and benches by order. The next attempts are probes.
    pub(crate) fn restore(&self, now: Instant) {
        self.rejections.clear();
        self.limits.for_all(|cooldown| cooldown.restore(now));
    }

    /// Closes the breaker and forgets all limits by order.
    pub(crate) fn reset(&self, now: Instant) {
        self.breaker.reset();
        self.rejections.clear();
        self.limits.for_all(|cooldown| cooldown.forget(now));
    }

    /// Opens the breaker by order.
    pub(crate) fn trip(&self) {
        let reason = Reason::with_text(Class::Overloaded, "an order");
        self.last_failure.set(reason);
        self.breaker.trip();
    }

    /// Learns from a success after `latency`, at an instant, which is an age of the pool. Calls
    /// `ended` with the requests of each cooldown that has ended.
    #[inline]
    pub(crate) fn succeeded(
        &self,
        (tickets, latency, sender): (&Tickets, Duration, Sender),
        target: &Uri,
        (now, since_start): (Instant, Duration),
        ended: impl FnMut(Concerned),
    ) {
        self.load.latency.record(latency);
        self.rejections.succeeded(Some(target), since_start);
        self.limits.succeeded((tickets, sender), now, ended);
    }
}

/// Returns whether an endpoint has judged a request and not its limits: each of its answers is one
/// that a healthy endpoint gives.
fn is_about_request(verdict: Verdict) -> bool {
    matches!(
        verdict.class(),
        Class::CallerFault | Class::ContentPolicy | Class::ContextTooLong
    )
}

/// Returns whether an endpoint rejects a credential. Not every `403` does.
fn is_rejection(verdict: Verdict, status: Option<StatusCode>) -> bool {
    verdict.class() == Class::Unauthorized
        && status.is_some_and(|status| status != StatusCode::FORBIDDEN)
}

/// Returns whether the status permits a text to report a spent quota.
///
/// A caller may choose the words of a message. Beside any other status, and in a broken stream, a
/// spent quota needs a code. There are two exceptions without such a code: xAI sends spent credits
/// as `403`, and Fireworks sends a suspended account as `412`.
fn names_limit(status: Option<StatusCode>) -> bool {
    let number = status.map(|status| status.as_u16());
    matches!(number, Some(402 | 403 | 412 | 429 | 498))
}

/// Returns the states that a verdict concerns.
fn level(verdict: Verdict) -> Level {
    match (verdict.scope(), verdict.class()) {
        (Scope::Key, _) => Level::Key,
        (_, Class::ModelUnavailable) => Level::Key,
        // An overload is independent of the credential. A rejection is about the endpoint's own
        // one.
        (_, Class::Overloaded | Class::Unauthorized) => Level::Endpoint,
        _ => Level::Account,
    }
}

impl fmt::Debug for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointState")
            .field("endpoint", &self.config)
            .field("breaker", &self.breaker)
            .field("in_flight", &self.load.in_flight())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller chooses the words that a stream repeats.
    #[test]
    fn broken_stream_names_no_limit() {
        assert!(!names_limit(None));
        assert!(names_limit(Some(StatusCode::PAYMENT_REQUIRED)));
    }
}
