//! One endpoint of a pool and all that is known of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{BreakerEffect, Class, InvalidConfig, Observers, Verdict};
use tokio::time::Instant;

use crate::cooldown::{Cooldown, Ticket};
use crate::endpoint::Endpoint;
use crate::latency::Latency;
use crate::strategy::Candidate;

/// How long an endpoint whose quota is spent is left alone, at least.
const QUOTA_BENCH: Duration = Duration::from_secs(30 * 60);
/// How long an endpoint that rejects its own credential is left alone at first. It doubles.
const CREDENTIAL_BENCH: Duration = Duration::from_secs(60);
/// The longest such time.
const MAX_CREDENTIAL_BENCH: Duration = Duration::from_secs(30 * 60);
/// A credential that was rejected so often in a row is no accident.
const REJECTIONS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) endpoint: Endpoint,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) cooldown: Cooldown,
    pub(crate) latency: Latency,
    pub(crate) in_flight: AtomicU32,
    /// How often in a row the endpoint rejected its own credential.
    rejections: AtomicU32,
    /// When an attempt last ended here, in milliseconds since the pool began.
    last_used: AtomicU64,
}

impl Member {
    pub(crate) fn new(endpoint: Endpoint, observers: &Observers) -> Result<Self, InvalidConfig> {
        let breaker = endpoint
            .breaker
            .clone()
            .name(endpoint.name.clone())
            .observers(observers.clone())
            .build()
            .map_err(|error| error.within("breaker"))?;
        Ok(Self {
            endpoint,
            breaker,
            cooldown: Cooldown::new(),
            latency: Latency::new(),
            in_flight: AtomicU32::new(0),
            rejections: AtomicU32::new(0),
            last_used: AtomicU64::new(0),
        })
    }

    /// Whether an attempt would be admitted now.
    pub(crate) fn is_admissible(&self, now: Instant) -> bool {
        self.cooldown.would_admit(now) && self.breaker.would_admit()
    }

    pub(crate) fn candidate(&self, index: usize, since_start: Duration) -> Candidate {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        // One request is enough to find out whether an endpoint has changed.
        let idle = if in_flight > 0 {
            Duration::ZERO
        } else {
            let last_used = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
            since_start.saturating_sub(last_used)
        };
        Candidate {
            index,
            in_flight,
            latency: self.latency.seconds(),
            health: self.breaker.health(),
            idle: idle.as_secs_f64(),
        }
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
        let rejected = status == Some(StatusCode::UNAUTHORIZED);
        let failed = matches!(verdict.breaker(), BreakerEffect::Failure);
        if status.is_some() && !rejected && !failed {
            self.accepted();
        }
        match verdict.class() {
            Class::Unauthorized if rejected && self.endpoint.answers_for_its_credential() => {
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
        Some(self.cooldown.refused(ticket, hint, took, now))
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
    pub(crate) fn succeeded(&self, ticket: Ticket, latency: Duration, now: Instant) -> bool {
        self.latency.record(latency);
        self.accepted();
        self.cooldown.succeeded(ticket, now)
    }

    pub(crate) fn used(&self, since_start: Duration) {
        let millis = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(millis, Ordering::Relaxed);
    }
}
