//! One endpoint of a pool and all that is known of it.

pub(crate) mod availability;
pub(crate) mod check_result;
pub(crate) mod cooldown;
mod latency;
mod load;
pub(crate) mod queue_marks;
pub(crate) mod quota;
mod rate;
#[cfg(feature = "serde")]
pub(crate) mod serialize;

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
use steadfast_core::layer::stable_hash;

/// How long an endpoint whose quota is spent is left alone, at least.
const QUOTA_BENCH: Duration = Duration::from_secs(30 * 60);
/// How long an endpoint that rejects its own credential is left alone at first. It doubles.
const CREDENTIAL_BENCH: Duration = Duration::from_secs(60);
/// The longest such time.
const MAX_CREDENTIAL_BENCH: Duration = Duration::from_secs(30 * 60);
/// A credential that was rejected so often in a row is no accident.
const REJECTIONS: u32 = 3;

pub(crate) struct EndpointState {
    /// Different for each endpoint of a pool, also for one that comes back under its old name.
    pub(crate) id: u64,
    pub(crate) name_hash: u64,
    /// The origin of its times: the start of the pool.
    pub(crate) start: Instant,
    pub(crate) config: Endpoint,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) cooldown: Cooldown,
    pub(crate) quota: Quota,
    pub(crate) load: LoadStats,
    pub(crate) queue_marks: QueueMarks,
    /// How often in a row the endpoint rejected its own credential.
    rejections: AtomicU32,
    /// What the last health check has found.
    pub(crate) last_check: LastCheck,
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

    /// When it has so many tokens, if it has not now.
    pub(crate) fn has_tokens_at(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let ready = self.quota.ready_at(tokens, self.since_start(now))?;
        Some(saturating_add(self.start, ready))
    }

    /// Counts an attempt that is sent.
    pub(crate) fn enter(&self, tokens: Option<u64>, now: Instant) {
        self.load.enter();
        self.quota.send(tokens, || self.since_start(now));
    }

    /// Learns from the answer of an attempt that did not succeed. Returns how long the endpoint
    /// is left alone, if that begins now.
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
        match verdict.class() {
            Class::Unauthorized if rejected && self.config.answers_for_its_credential() => {
                self.cooldown.cool_for(ticket, now, || self.rejected())
            }
            _ => self
                .limited(ticket, verdict, Some(ticket.age(now)), now)
                .unwrap_or_else(|| {
                    self.cooldown.released(ticket);
                    None
                }),
        }
    }

    /// Learns from a body that broke, whose attempt had succeeded by its head.
    pub(crate) fn broke(&self, ticket: Ticket, verdict: Verdict, now: Instant) -> Option<Duration> {
        // The place of a probe came back with the head.
        self.limited(ticket, verdict, None, now).flatten()
    }

    /// Begins a cooldown if the verdict speaks of a limit, and returns nothing if it does not.
    fn limited(
        &self,
        ticket: Ticket,
        verdict: Verdict,
        took: Option<Duration>,
        now: Instant,
    ) -> Option<Option<Duration>> {
        let hint = match (verdict.class(), verdict.hint()) {
            (Class::RateLimited, hint) => hint,
            (Class::QuotaExhausted, hint) => Some(hint.unwrap_or_default().max(QUOTA_BENCH)),
            (Class::Overloaded, Some(hint)) => Some(hint),
            _ => return None,
        };
        // Only a refusal for a rate can be one of a quota that fills steadily.
        let seed = match verdict.class() {
            Class::RateLimited => self.quota.rate(self.since_start(now)),
            _ => None,
        };
        let refusal = Refusal {
            hint,
            took,
            seed,
            bench: verdict.class() == Class::QuotaExhausted,
        };
        Some(self.cooldown.refused(ticket, refusal, now))
    }

    /// Counts that the endpoint rejected its own credential. Returns for how long that benches it.
    fn rejected(&self) -> Option<Duration> {
        let before = self.rejections.fetch_add(1, Ordering::Relaxed);
        let doublings = before.saturating_add(1).checked_sub(REJECTIONS)?;
        let bench = CREDENTIAL_BENCH.saturating_mul(2u32.saturating_pow(doublings));
        Some(bench.min(MAX_CREDENTIAL_BENCH))
    }

    /// Notes that the endpoint knows its own credential.
    fn accepted(&self) {
        // A load first: a healthy endpoint writes nothing here.
        if self.rejections.load(Ordering::Relaxed) > 0 {
            self.rejections.store(0, Ordering::Relaxed);
        }
    }

    /// Learns from a success. Returns whether a cooldown has come to its end.
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
