//! The state of one endpoint of a pool.

pub(crate) mod availability;
pub(crate) mod check_result;
pub(crate) mod cooldown;
mod latency;
pub(crate) mod limits;
mod load;
pub(crate) mod queue_marks;
pub(crate) mod quota;
mod rate;
pub(crate) mod reason;
#[cfg(feature = "serde")]
pub(crate) mod serialize;
pub(crate) mod served;
pub(crate) mod trigger;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::StatusCode;
use steadfast_breaker::CircuitBreaker;
use steadfast_core::layer::{Observers, saturating_add};
use steadfast_core::{BreakerEffect, BreakerState, Class, InvalidConfig, LimitKey, Scope, Verdict};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::state::availability::Availability;
use crate::state::check_result::LastCheck;
use crate::state::cooldown::Refusal;
use crate::state::limits::EndpointLimits;
use crate::state::limits::attempt::Cooled;
use crate::state::limits::demand::Demand;
use crate::state::limits::tickets::{Level, Tickets};
use crate::state::load::LoadStats;
use crate::state::queue_marks::QueueMarks;
use crate::state::reason::{LastFailure, Reason};
use crate::state::trigger::Trigger;
use steadfast_core::layer::stable_hash;

/// The interval of the early probes at an endpoint of a pool without a closed breaker.
pub(crate) const EARLY_PROBES: Duration = Duration::from_secs(1);
/// The minimum bench of an endpoint with an exhausted quota.
const QUOTA_BENCH: Duration = Duration::from_secs(30 * 60);
/// The bench of an exhausted quota that only message text reports.
const TEXT_BENCH: Duration = Duration::from_secs(60);
/// The first bench of an endpoint that rejects its own credential. Each further rejection doubles
/// it.
const CREDENTIAL_BENCH: Duration = Duration::from_secs(60);
/// The maximum bench for a rejected credential.
const MAX_CREDENTIAL_BENCH: Duration = Duration::from_secs(30 * 60);
/// The length of a streak of rejections that starts a bench. A shorter streak may be an accident.
const REJECTIONS: u32 = 3;

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
    /// The streak of rejections of the own credential of the endpoint.
    rejections: AtomicU32,
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
        endpoint.set_apart();
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
            rejections: AtomicU32::new(0),
            last_check: LastCheck::default(),
            last_failure: LastFailure::default(),
        })
    }

    /// Returns whether an attempt would be admitted now.
    ///
    /// This is the fast path of [`availability`](Self::availability), for a healthy endpoint.
    #[inline]
    pub(crate) fn is_available(&self, demand: &Demand, now: Instant) -> bool {
        self.limits.would_admit(demand, now)
            && self.breaker.at(now).would_admit()
            && (demand.tokens.is_none() || self.limits.has_tokens_at(demand, now).is_none())
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
        let tokens = self.limits.has_tokens_at(demand, now);
        if cools || tokens.is_some_and(|at| at > ready) {
            Availability::Limited(tokens.map_or(ready, |at| at.max(ready)))
        } else if ready > now {
            Availability::Paced(ready)
        } else {
            Availability::Now
        }
    }

    /// Returns when an early probe is due, or the outcome of a probe may be known. `at` is the end of
    /// the open time.
    fn early_probe(&self, at: Instant, ready: Instant, now: Instant) -> Option<Instant> {
        let wait = self.breaker.at(now).early_retry_in(EARLY_PROBES);
        // A probe needs a slot of the send rate too.
        let early = saturating_add(now, wait.unwrap_or_default()).max(ready);
        let is_early = early < at || self.breaker.state() == BreakerState::HalfOpen;
        is_early.then_some(early)
    }

    /// Returns whether the endpoint serves other requests than the failing ones.
    pub(crate) fn serves(&self, now: Instant) -> bool {
        self.load.served.is_recent(self.since_start(now))
    }

    /// Returns the time since the pool was built.
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Counts an attempt that is sent.
    pub(crate) fn enter(&self, tickets: &Tickets, tokens: Option<u64>, now: Instant) {
        self.load.enter(|| self.since_start(now));
        self.limits.sent(tickets, tokens, now);
    }

    /// Learns from an attempt that did not succeed. Returns the cooldown, if one begins now.
    pub(crate) fn refused(
        &self,
        tickets: &Tickets,
        verdict: Verdict,
        status: Option<StatusCode>,
        now: Instant,
    ) -> Option<Cooled> {
        let rejected = verdict.class() == Class::Unauthorized
            && status.is_some_and(|status| status != StatusCode::FORBIDDEN);
        let failed = matches!(verdict.breaker(), BreakerEffect::Failure);
        if status.is_some() && !rejected && !failed {
            self.accepted();
        }
        let trigger = Trigger::Outcome(verdict.class(), status);
        if rejected && self.config.answers_for_its_credential() {
            return self
                .limits
                .refused(tickets, Level::Endpoint, |limits, ticket| {
                    (limits.cooldown).cool_for(ticket, trigger, now, || self.rejected())
                });
        }
        let took = tickets.age(now);
        self.limited(tickets, (verdict, trigger), Some(took), now)
            .unwrap_or_else(|| {
                self.limits.released(tickets);
                None
            })
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
        self.limited(tickets, (verdict, trigger), None, now)
            .flatten()
    }

    /// Begins a cooldown if the verdict reports a limit. Otherwise, returns `None`.
    fn limited(
        &self,
        tickets: &Tickets,
        (verdict, trigger): (Verdict, Trigger),
        took: Option<Duration>,
        now: Instant,
    ) -> Option<Option<Cooled>> {
        let hint = match (verdict.class(), verdict.hint()) {
            // A caller may choose the words of a message, so text alone costs a minute.
            (Class::QuotaExhausted, _) if verdict.is_from_text() => Some(TEXT_BENCH),
            (Class::RateLimited, hint) => hint,
            (Class::QuotaExhausted, hint) => Some(hint.unwrap_or_default().max(QUOTA_BENCH)),
            (Class::Overloaded, Some(hint)) => Some(hint),
            _ => return None,
        };
        let level = level(verdict);
        let since_start = self.since_start(now);
        let refusal = |seed| Refusal {
            hint,
            took,
            seed,
            bench: verdict.class() == Class::QuotaExhausted,
            testable: verdict.class() == Class::RateLimited,
            trigger,
        };
        Some(self.limits.refused(tickets, level, |limits, ticket| {
            // Only a refusal for a rate limit can result from a quota that fills steadily.
            let seed = match verdict.class() {
                Class::RateLimited => limits.quota.rate(since_start),
                _ => None,
            };
            limits.cooldown.refused(ticket, refusal(seed), now)
        }))
    }

    /// Counts a rejection of its own credential. Returns the length of the bench, if one begins.
    fn rejected(&self) -> Option<Duration> {
        let before = self.rejections.fetch_add(1, Ordering::Relaxed);
        let doublings = before.saturating_add(1).checked_sub(REJECTIONS)?;
        let bench = CREDENTIAL_BENCH.saturating_mul(2u32.saturating_pow(doublings));
        Some(bench.min(MAX_CREDENTIAL_BENCH))
    }

    /// Ends the streak of rejections, because the endpoint accepted its own credential.
    fn accepted(&self) {
        // Loads first, so that a healthy endpoint writes nothing here.
        if self.rejections.load(Ordering::Relaxed) > 0 {
            self.rejections.store(0, Ordering::Relaxed);
        }
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

    /// Opens the breaker by order.
    pub(crate) fn trip(&self) {
        let reason = Reason::with_text(Class::Overloaded, "an order");
        self.last_failure.set(reason);
        self.breaker.trip();
    }

    /// Learns from a success. Calls `ended` with the key of each cooldown that has ended.
    pub(crate) fn succeeded(
        &self,
        tickets: &Tickets,
        now: Instant,
        ended: impl FnMut(Option<LimitKey>),
    ) {
        self.load.latency.record(tickets.age(now));
        self.accepted();
        self.limits.succeeded(tickets, now, ended);
    }
}

/// Returns the states that a verdict concerns.
fn level(verdict: Verdict) -> Level {
    match (verdict.scope(), verdict.class()) {
        (Scope::Key, _) => Level::Key,
        // An overload is independent of the credential.
        (_, Class::Overloaded) => Level::Endpoint,
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
