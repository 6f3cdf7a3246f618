//! One endpoint of a pool and all that is known of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{Class, InvalidConfig, Observers, Verdict};
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
        let last_used = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        Candidate {
            index,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency: self.latency.seconds(),
            health: self.breaker.health(),
            idle: since_start.saturating_sub(last_used).as_secs_f64(),
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
        let hint = verdict.hint();
        match verdict.class() {
            Class::RateLimited => self.cooldown.refused(ticket, hint, now),
            Class::QuotaExhausted => {
                let bench = hint.unwrap_or_default().max(QUOTA_BENCH);
                self.cooldown.refused(ticket, Some(bench), now)
            }
            Class::Overloaded if hint.is_some() => self.cooldown.refused(ticket, hint, now),
            Class::Unauthorized
                if status == Some(StatusCode::UNAUTHORIZED)
                    && self.endpoint.credential.is_some() =>
            {
                let count = self
                    .rejections
                    .fetch_add(1, Ordering::Relaxed)
                    .saturating_add(1);
                let Some(doublings) = count.checked_sub(REJECTIONS) else {
                    self.cooldown.released(ticket);
                    return None;
                };
                let bench = CREDENTIAL_BENCH.saturating_mul(2u32.saturating_pow(doublings));
                self.cooldown
                    .refused(ticket, Some(bench.min(MAX_CREDENTIAL_BENCH)), now)
            }
            _ => {
                self.cooldown.released(ticket);
                None
            }
        }
    }

    /// Learns from a success. Returns whether a cooldown has come to its end.
    pub(crate) fn succeeded(&self, ticket: Ticket, latency: Duration) -> bool {
        self.latency.record(latency);
        // A load first: a healthy endpoint writes nothing here.
        if self.rejections.load(Ordering::Relaxed) > 0 {
            self.rejections.store(0, Ordering::Relaxed);
        }
        self.cooldown.succeeded(ticket)
    }

    pub(crate) fn used(&self, since_start: Duration) {
        let millis = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(millis, Ordering::Relaxed);
    }
}
