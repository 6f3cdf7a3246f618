//! The state of one endpoint of a pool.

pub(crate) mod availability;
pub(crate) mod check_result;
pub(crate) mod cooldown;
mod latency;
mod load;
pub(crate) mod queue_marks;
pub(crate) mod quota;
mod rate;
pub(crate) mod reason;
#[cfg(feature = "serde")]
pub(crate) mod serialize;
pub(crate) mod trigger;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::StatusCode;
use steadfast_breaker::CircuitBreaker;
use steadfast_core::layer::{Observers, saturating_add};
use steadfast_core::{BreakerEffect, Class, InvalidConfig, Verdict};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::state::availability::Availability;
use crate::state::check_result::LastCheck;
use crate::state::cooldown::{Cooldown, Refusal, Ticket};
use crate::state::load::LoadStats;
use crate::state::queue_marks::QueueMarks;
use crate::state::quota::Quota;
use crate::state::reason::{LastFailure, Reason};
use crate::state::trigger::Trigger;
use steadfast_core::layer::stable_hash;

/// The minimum bench of an endpoint with an exhausted quota.
const QUOTA_BENCH: Duration = Duration::from_secs(30 * 60);
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
    pub(crate) cooldown: Cooldown,
    pub(crate) quota: Quota,
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
        observers: &Observers,
    ) -> Result<Self, InvalidConfig> {
        endpoint.validate()?;
        endpoint.set_apart();
        let breaker = endpoint.build_breaker(observers.clone())?;
        Ok(Self {
            id,
            name_hash: stable_hash(endpoint.name.as_str().as_bytes()),
            start,
            config: endpoint,
            breaker,
            cooldown: Cooldown::new(),
            quota: Quota::default(),
            load: LoadStats::new(),
            queue_marks: QueueMarks::default(),
            rejections: AtomicU32::new(0),
            last_check: LastCheck::default(),
            last_failure: LastFailure::default(),
        })
    }

    /// Returns whether an attempt that needs `tokens` would be admitted now.
    ///
    /// This is the fast path of [`availability`](Self::availability), for a healthy endpoint.
    #[inline]
    pub(crate) fn is_available(&self, tokens: Option<u64>, now: Instant) -> bool {
        self.cooldown.would_admit(now)
            && self.breaker.at(now).would_admit()
            && tokens.is_none_or(|tokens| self.has_tokens_at(tokens, now).is_none())
    }

    /// Returns when an attempt that needs `tokens` would be admitted.
    pub(crate) fn availability(&self, tokens: Option<u64>, now: Instant) -> Availability {
        let ready = self.cooldown.ready_at(now);
        let cools = self.cooldown.until(now).is_some();
        if let Some(wait) = self.breaker.at(now).retry_in() {
            return Availability::Broken {
                at: saturating_add(now, wait).max(ready),
                last_resort: !cools && !self.breaker.is_isolated(),
            };
        }
        let tokens = tokens.and_then(|tokens| self.has_tokens_at(tokens, now));
        if cools || tokens.is_some_and(|at| at > ready) {
            Availability::Limited(tokens.map_or(ready, |at| at.max(ready)))
        } else if ready > now {
            Availability::Paced(ready)
        } else {
            Availability::Now
        }
    }

    /// Returns the time since the pool was built.
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// Returns when the endpoint has `tokens` tokens, or `None` if it is not short of tokens.
    pub(crate) fn has_tokens_at(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let ready = self.quota.ready_at(tokens, self.since_start(now))?;
        Some(saturating_add(self.start, ready))
    }

    /// Counts an attempt that is sent.
    pub(crate) fn enter(&self, tokens: Option<u64>, now: Instant) {
        self.load.enter();
        self.quota.send(tokens, || self.since_start(now));
    }

    /// Learns from an attempt that did not succeed. Returns the length of the cooldown, if one
    /// begins now.
    pub(crate) fn refused(
        &self,
        ticket: Ticket,
        verdict: Verdict,
        status: Option<StatusCode>,
        now: Instant,
    ) -> Option<Duration> {
        let rejected = verdict.class() == Class::Unauthorized
            && status.is_some_and(|status| status != StatusCode::FORBIDDEN);
        let failed = matches!(verdict.breaker(), BreakerEffect::Failure);
        if status.is_some() && !rejected && !failed {
            self.accepted();
        }
        let class = verdict.class();
        let trigger = Trigger::Outcome(class, status);
        match class {
            Class::Unauthorized if rejected && self.config.answers_for_its_credential() => {
                (self.cooldown).cool_for(ticket, trigger, now, || self.rejected())
            }
            _ => self
                .limited(ticket, (verdict, trigger), Some(ticket.age(now)), now)
                .unwrap_or_else(|| {
                    self.cooldown.released(ticket);
                    None
                }),
        }
    }

    /// Learns from a broken body of an attempt with a successful head.
    pub(crate) fn broke(&self, ticket: Ticket, verdict: Verdict, now: Instant) -> Option<Duration> {
        // The head has already released the slot of a probe.
        let trigger = Trigger::Outcome(verdict.class(), None);
        self.limited(ticket, (verdict, trigger), None, now)
            .flatten()
    }

    /// Begins a cooldown if the verdict reports a limit. Otherwise, returns `None`.
    fn limited(
        &self,
        ticket: Ticket,
        (verdict, trigger): (Verdict, Trigger),
        took: Option<Duration>,
        now: Instant,
    ) -> Option<Option<Duration>> {
        let hint = match (verdict.class(), verdict.hint()) {
            (Class::RateLimited, hint) => hint,
            (Class::QuotaExhausted, hint) => Some(hint.unwrap_or_default().max(QUOTA_BENCH)),
            (Class::Overloaded, Some(hint)) => Some(hint),
            _ => return None,
        };
        // Only a refusal for a rate limit can result from a quota that fills steadily.
        let seed = match verdict.class() {
            Class::RateLimited => self.quota.rate(self.since_start(now)),
            _ => None,
        };
        let refusal = Refusal {
            hint,
            took,
            seed,
            bench: verdict.class() == Class::QuotaExhausted,
            trigger,
        };
        Some(self.cooldown.refused(ticket, refusal, now))
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

    /// Opens the breaker by order.
    pub(crate) fn trip(&self) {
        let reason = Reason::new(Class::Overloaded, None, Some("an order".into()));
        self.last_failure.set(reason);
        self.breaker.trip();
    }

    /// Learns from a success. Returns whether a cooldown has ended.
    pub(crate) fn succeeded(&self, ticket: Ticket, now: Instant) -> bool {
        self.load.latency.record(ticket.age(now));
        self.accepted();
        self.cooldown.succeeded(ticket, now)
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
