//! The load of one attempt at its endpoint, until its response body ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use steadfast_breaker::{Detached, FailureReceipt, Permit};
use steadfast_core::layer::{End, OnEnd, RecordAttempts};
use steadfast_core::{Attempt, BoxError, BreakerEffect, Class, Event, Trail, Verdict};
use tokio::time::Instant;

use crate::pool::Pool;
use crate::pool::snapshot::PooledEndpoint;
use crate::select::doubt::SHORTEST_SILENCE;
use crate::select::outlook::Outlook;
use crate::select::request_context::RequestContext;
use crate::service::attribution;
use crate::state::bench::RequestId;
use crate::state::limits::attempt::Cooled;
use crate::state::limits::tickets::Tickets;
use crate::state::origin::Origin;
use crate::state::reason::Reason;
use crate::state::recovery::RECOVERY_PROBES;

/// The verdict on an attempt, and the status of its response.
pub(super) type AttemptOutcome = (Verdict, Option<StatusCode>);

/// The load of one attempt at its endpoint, with the permit of the breaker.
///
/// It moves into the response body and is dropped when the body ends.
pub(crate) struct LoadGuard {
    /// The endpoint of the attempt.
    pub(super) endpoint: Arc<PooledEndpoint>,
    /// `None` for the last resort, an attempt at an endpoint with an open breaker.
    pub(super) permit: Option<Permit<Detached>>,
    /// The tickets of the admission by the limits.
    pub(super) tickets: Tickets,
    /// Whether the attempt has no head yet.
    pub(super) awaited: bool,
    /// Whether it is a probe.
    pub(super) probes: bool,
}

impl LoadGuard {
    /// Holds the load of an attempt that its endpoint has counted.
    #[inline]
    pub(super) fn new(
        endpoint: Arc<PooledEndpoint>,
        permit: Option<Permit<Detached>>,
        tickets: Tickets,
    ) -> Self {
        let probes = permit.as_ref().is_some_and(Permit::is_probe);
        if probes {
            endpoint.state.load.enter_probe();
        }
        Self {
            endpoint,
            permit,
            tickets,
            awaited: true,
            probes,
        }
    }

    /// Records the head of a success.
    pub(super) fn answered(&mut self) {
        self.head();
        self.endpoint.state.load.was_answered();
    }

    /// Returns whether the attempt tests an endpoint with an open breaker: as a probe, or as the
    /// last resort.
    pub(super) fn is_test(&self) -> bool {
        self.probes || self.permit.is_none()
    }

    /// Returns the time since the admission.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.endpoint.state.time_of(&self.tickets, now)
    }

    /// Begins or continues the slow start of the endpoint, after a success that took `latency`, and
    /// notifies the waiters.
    #[inline]
    pub(super) fn continue_slow_start(&self, latency: Duration, now: Instant) {
        let (stats, queue) = (&self.endpoint.state.load, &self.endpoint.signals.queue);
        let has_waiters = || queue.len() > 0;
        if self.is_test() {
            let limits = &self.endpoint.state.limits;
            let sent = now.checked_sub(self.age(now)).unwrap_or(now);
            limits.for_all(|cooldown| cooldown.forget_rate(sent, now));
            if has_waiters() {
                stats.begin_slow_start();
                // A recovery releases more than one waiter.
                queue.wake_all(now);
            }
        }
        stats.succeeded(latency, has_waiters);
        self.endpoint.signals.notify_waiters(now);
    }

    /// Records the head of the attempt, or its end without one.
    fn head(&mut self) {
        if std::mem::take(&mut self.awaited) {
            let load = &self.endpoint.state.load;
            load.head();
            if self.probes {
                load.probed();
            }
        }
    }

    /// Settles an attempt that did not succeed, with a response or with an error.
    pub(super) fn fail(
        mut self,
        (context, tier): (&RequestContext, u16),
        (pool, target): (&Arc<Pool>, Option<&Uri>),
        (verdict, status): AttemptOutcome,
        error: Option<&BoxError>,
    ) {
        let now = Instant::now();
        let counted = self.counted(verdict, pool, now);
        // Before the breaker counts the failure, so that an open breaker always has a reason.
        self.remember(counted, || match error {
            Some(error) => Reason::of_error(verdict.class(), &**error),
            None => Reason::new(verdict.class(), status, None),
        });
        let endpoint = &*self.endpoint.state;
        let endpoint_id = endpoint.id;
        self.return_tokens((verdict, status));
        let since_start = endpoint.since_start(now);
        let age = since_start.saturating_sub(self.tickets.pool_age());
        endpoint.load.used(since_start);
        let failed = counted.breaker() == BreakerEffect::Failure;
        if failed {
            endpoint.load.has_failed(since_start);
        }
        if verdict.class() == Class::Timeout {
            endpoint.load.was_silent(age, failed);
        } else {
            endpoint.load.was_in_vain();
            endpoint.load.was_answered();
        }
        let opening = self.endpoint.state.limits.opening(&self.tickets, now);
        let cooled = self.learn((context, pool), target, (verdict, status), now);
        let opened = self.endpoint.state.limits.opening(&self.tickets, now);
        if opened.is_some() && opened != opening {
            // The waiters of other callers test the limit.
            self.endpoint.signals.queue.wake_all(now);
        }
        if let Some(request) = context.identity() {
            endpoint.limits.turn_away(&context.demand, request);
        }
        let receipt = self.settle(counted, cooled);
        let receipt = receipt.map(|receipt| (endpoint_id, receipt.to_bits()));
        self.record((context, tier), (verdict, status), receipt, age);
        if cooled.is_some_and(|cooled| cooled.by_probe) {
            self.endpoint.signals.probe_refused(now);
        }
        if let Some(trail) = &context.trail {
            attribution::attribute(trail, &pool.snapshot(), &self.endpoint.state, verdict, now);
            trail.set_next(pool.shared.next(&pool.snapshot(), context, now));
            explain_by(trail, context, pool);
        }
    }

    /// Lets the endpoint learn from an attempt that did not succeed.
    fn learn(
        &self,
        (context, pool): (&RequestContext, &Pool),
        target: Option<&Uri>,
        (verdict, status): AttemptOutcome,
        now: Instant,
    ) -> Option<Cooled> {
        let (endpoint, class) = (&*self.endpoint.state, verdict.class());
        let outcome = (verdict, status);
        if !can_bench(class) {
            let mut origin = Origin::new(None, target);
            origin.sender = context.sender();
            origin.earlier = attribution::earlier_refusals(context, endpoint, class);
            return endpoint.refused(&self.tickets, outcome, &origin, now);
        }
        let snapshot = pool.snapshot();
        let request = self.request_id(context, verdict);
        let mut origin = Origin::new(Some(request), target);
        origin.is_own = attribution::is_refused_elsewhere(context, &snapshot, endpoint, class, now);
        let cooled = endpoint.refused(&self.tickets, outcome, &origin, now);
        if cooled.is_none() && attribution::serves_others(endpoint, context, class, now) {
            attribution::take_back_benches(context, (pool, &snapshot), (class, request), now);
        }
        cooled
    }

    /// Returns the identity of the request after a refusal.
    fn request_id(&self, context: &RequestContext, verdict: Verdict) -> RequestId {
        let name = &self.endpoint.state.config.name;
        let is_here = |attempt: &Attempt| attempt.endpoint.as_ref() == Some(name);
        let is_repeated = |trail: &Trail| {
            trail.with_attempts(|attempts| attempts.filter(|attempt| is_here(attempt)).count() > 0)
        };
        match verdict.request_digest() {
            Some(digest) => RequestId::Digest(digest),
            None if context.trail.as_ref().is_some_and(is_repeated) => RequestId::Repeated,
            None => RequestId::Unknown,
        }
    }

    /// Returns the verdict for the breaker.
    ///
    /// An answer that is slower than the deadline of its caller is no failure. Exception: the
    /// endpoint answers no request, and the deadline leaves time for a usual answer.
    fn counted(&self, verdict: Verdict, pool: &Pool, now: Instant) -> Verdict {
        let is_neutral = verdict.breaker() == BreakerEffect::Neutral;
        if verdict.class() != Class::Timeout || !is_neutral || self.endpoint.state.serves(now) {
            return verdict;
        }
        let usual = pool.snapshot().usual_latency(&self.endpoint.state);
        match usual {
            Some(usual) if self.age(now) >= usual => Verdict::new(Class::Timeout),
            _ => verdict,
        }
    }

    /// Records the attempt in the trail of the request, with the tier of its endpoint.
    pub(super) fn record(
        &self,
        (context, tier): (&RequestContext, u16),
        (verdict, status): AttemptOutcome,
        receipt: Option<(u64, u64)>,
        elapsed: Duration,
    ) {
        if let Some(trail) = &context.trail {
            let sent = self.endpoint.state.sent_at(&self.tickets);
            let mut attempt = Attempt::lasting(sent, elapsed, verdict);
            attempt.endpoint = Some(self.endpoint.state.config.name.clone());
            attempt.tier = tier;
            attempt.status = status;
            attempt.hedge = context.is_hedge();
            // A server that answers with a timeout is not silent, and neither is a fast failure.
            attempt.silent = verdict.class() == Class::Timeout
                && status.is_none()
                && attempt.elapsed >= SHORTEST_SILENCE
                && !self.endpoint.state.has_served_since(sent);
            trail.record(attempt.with_receipt(receipt));
        }
    }

    /// Keeps the reason of a failure that the breaker counts.
    pub(super) fn remember(&self, verdict: Verdict, reason: impl FnOnce() -> Reason) {
        if verdict.breaker() == BreakerEffect::Failure {
            self.endpoint.state.last_failure.set(reason());
        }
    }

    /// Settles an attempt that did not succeed, or a broken body. `cooled` is the cooldown
    /// that has begun.
    ///
    /// Returns the receipt of a failure that counts.
    fn settle(&mut self, verdict: Verdict, cooled: Option<Cooled>) -> Option<FailureReceipt> {
        self.emit_cooldown(verdict.class(), cooled);
        // Several failures of an overloaded endpoint within one cooldown count as one failure.
        let repeated =
            verdict.class() == Class::Overloaded && verdict.hint().is_some() && cooled.is_none();
        let permit = self.permit.take()?;
        let verdict = if repeated { verdict.neutral() } else { verdict };
        permit.fail(&self.endpoint.state.breaker, verdict)
    }

    /// Emits the start of a cooldown.
    pub(super) fn emit_cooldown(&self, class: Class, cooled: Option<Cooled>) {
        if let Some(Cooled {
            concerned, wait, ..
        }) = cooled
        {
            if wait > RECOVERY_PROBES {
                let age = self.endpoint.state.since_start(Instant::now());
                let due = age.saturating_add(RECOVERY_PROBES);
                self.endpoint.signals.recovery.note(due);
            }
            self.endpoint.signals.observers.emit(&Event::Cooldown {
                endpoint: self.endpoint.state.config.name.clone(),
                key: concerned.key,
                per_credential: concerned.per_credential,
                class,
                wait,
            });
        }
    }
}

/// Returns whether a refusal of this class can begin a bench.
fn can_bench(class: Class) -> bool {
    matches!(
        class,
        Class::ModelUnavailable | Class::QuotaExhausted | Class::Unauthorized
    )
}

/// Sets the pool as the source of the reasons of a rejection. The trail does not keep it alive.
fn explain_by(trail: &Trail, context: &RequestContext, pool: &Arc<Pool>) {
    trail.explain_by(|| {
        let (pool, context) = (Arc::downgrade(pool), context.without_attempts());
        Arc::new(move |tried, now| {
            let Some(pool) = pool.upgrade() else {
                return (None, None);
            };
            let outlook = Outlook::of(&pool.snapshot(), &context, tried, now);
            let reasons = outlook.reasons.map(|reasons| reasons as _);
            (outlook.recovery, reasons)
        })
    });
}

impl OnEnd for LoadGuard {
    fn on_end(&mut self, end: End) {
        // The verdict on the head stands unless the body breaks.
        if let End::Broken(verdict) = end {
            let cooled = self
                .endpoint
                .state
                .broke(&self.tickets, verdict, Instant::now());
            self.remember(verdict, || {
                Reason::with_text(verdict.class(), "a broken body")
            });
            self.settle(verdict, cooled);
        }
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        // The permit ends first, because a waiter that is notified below must see the change.
        if let Some(permit) = self.permit.take() {
            permit.end(&self.endpoint.state.breaker);
        }
        self.head();
        self.endpoint.state.load.leave();
        if self.endpoint.signals.queue.len() > 0 {
            self.endpoint.signals.notify_waiters(Instant::now());
        }
    }
}

impl fmt::Debug for LoadGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadGuard")
            .field("endpoint", &self.endpoint.state.config.name)
            .finish_non_exhaustive()
    }
}
