use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::endpoint::EndpointName;
use crate::trail::{Attempt, Clauses, Explain, Next, SILENT, SLOW, Trail};

/// The write access to a [`Trail`], which only layers have.
pub trait RecordAttempts {
    /// Appends an attempt.
    fn record(&self, attempt: Attempt);

    /// Takes the [receipts](Attempt::with_receipt) of the attempts that match `wanted`.
    fn take_receipts(&self, wanted: &dyn Fn(&Attempt) -> bool) -> Vec<(u64, u64)>;

    /// Marks the request as at fault: it fails alike at endpoints that serve other requests.
    fn set_at_fault(&self);

    /// Returns whether the request is at fault for its failures.
    fn is_at_fault(&self) -> bool;

    /// Sets when the next attempt is possible. The layer that knows the endpoints calls this.
    fn set_next(&self, next: Next);

    /// Returns the last value of [`set_next`](Self::set_next), whether it was taken or not.
    fn last_next(&self) -> Option<Next>;

    /// Takes the value of [`set_next`](Self::set_next), if there was a call since the last
    /// `take_next`.
    fn take_next(&self) -> Option<Next>;

    /// Sets the source of the reasons of a rejection, unless it is set. The layer that knows the
    /// endpoints calls this after an attempt that did not succeed.
    fn explain_by(&self, explain: impl FnOnce() -> Arc<Explain>);

    /// Reads the reasons at this instant, and keeps them.
    ///
    /// Returns `None` if no layer knows the endpoints. Otherwise, returns the soonest recovery,
    /// which may be unknown.
    fn explain(&self, now: Instant) -> Option<Option<Instant>>;

    /// Keeps the reasons of a rejection, which are formatted when they are read.
    fn set_reasons(&self, reasons: Arc<Clauses>);

    /// Returns the tier of the outcome that the layers below have returned. It is the tier of the
    /// last recorded attempt, or the value of a later [`set_tier`](Self::set_tier).
    fn tier(&self) -> u16;

    /// Sets the tier of the outcome that is about to be returned. A layer with concurrent attempts
    /// calls this if another attempt was recorded after the returned one.
    fn set_tier(&self, tier: u16);

    /// Claims the retries of this request.
    ///
    /// Returns `true` for the first caller only, so nested retry layers do not multiply attempts.
    fn claim_retries(&self) -> bool;

    /// Returns whether a layer has claimed the retries of this request.
    fn is_claimed(&self) -> bool;

    /// Marks the request as safe to repeat, even if an attempt may have been processed. The layer
    /// that has claimed the retries calls this.
    fn set_repeatable(&self);

    /// Returns whether a layer repeats the request after a failure of any kind.
    fn is_repeatable(&self) -> bool;

    /// Reports that the attempt in flight at `endpoint` takes longer than its usual answers. The
    /// layer that limits the time of attempts calls this, in the task of the request.
    ///
    /// `is_silent` holds if the endpoint has answered nothing since the attempt began.
    fn set_slow(&self, endpoint: &EndpointName, is_silent: bool);

    /// Takes the last report of [`set_slow`](Self::set_slow): the endpoint, and whether it is
    /// silent.
    fn take_slow(&self) -> Option<(EndpointName, bool)>;

    /// Marks the request as sent twice at the same time. It gets no further concurrent attempt.
    fn set_hedged(&self);

    /// Returns whether a second attempt was sent while the first was in flight.
    fn is_hedged(&self) -> bool;

    /// Marks the attempt that is about to be dropped: another attempt of the request has answered
    /// first, and the endpoint of the dropped one `is_silent`.
    fn set_overtaken(&self, is_silent: bool);

    /// Returns whether the endpoint of an overtaken attempt is silent, or `None` without such an
    /// attempt.
    fn overtaken(&self) -> Option<bool>;
}

impl RecordAttempts for Trail {
    fn record(&self, attempt: Attempt) {
        let mut state = self.lock();
        self.0.count.fetch_add(1, Ordering::Release);
        self.set_tier(attempt.tier);
        state.push(attempt);
    }

    fn take_receipts(&self, wanted: &dyn Fn(&Attempt) -> bool) -> Vec<(u64, u64)> {
        let mut attempts = self.lock();
        let wanted = attempts.iter_mut().filter(|attempt| wanted(attempt));
        wanted
            .filter_map(|attempt| attempt.receipt.take())
            .collect()
    }

    fn set_at_fault(&self) {
        self.0.at_fault.store(true, Ordering::Relaxed);
    }

    fn is_at_fault(&self) -> bool {
        self.0.at_fault.load(Ordering::Relaxed)
    }

    fn set_next(&self, next: Next) {
        let mut state = self.lock();
        state.next = Some(next);
        state.last_next = Some(next);
    }

    fn last_next(&self) -> Option<Next> {
        self.lock().last_next
    }

    fn take_next(&self) -> Option<Next> {
        self.lock().next.take()
    }

    fn explain_by(&self, explain: impl FnOnce() -> Arc<Explain>) {
        let mut state = self.lock();
        let explanation = state.explanation.get_or_insert_default();
        explanation.explain.get_or_insert_with(explain);
    }

    fn explain(&self, now: Instant) -> Option<Option<Instant>> {
        let explain = self.lock().explanation.as_ref()?.explain.clone()?;
        let (recovery, reasons) = explain(&self.attempts(), now);
        if let Some(reasons) = reasons {
            self.set_reasons(reasons);
        }
        Some(recovery)
    }

    fn set_reasons(&self, reasons: Arc<Clauses>) {
        let mut state = self.lock();
        state.explanation.get_or_insert_default().reasons = Some(reasons);
    }

    fn tier(&self) -> u16 {
        self.0.tier.load(Ordering::Relaxed)
    }

    fn set_tier(&self, tier: u16) {
        self.0.tier.store(tier, Ordering::Relaxed);
    }

    fn claim_retries(&self) -> bool {
        !self.0.retried.swap(true, Ordering::Relaxed)
    }

    fn is_claimed(&self) -> bool {
        self.0.retried.load(Ordering::Relaxed)
    }

    fn set_repeatable(&self) {
        self.0.repeatable.store(true, Ordering::Relaxed);
    }

    fn is_repeatable(&self) -> bool {
        self.0.repeatable.load(Ordering::Relaxed)
    }

    fn set_slow(&self, endpoint: &EndpointName, is_silent: bool) {
        self.lock().slow_at = Some(endpoint.clone());
        self.0.slow.store(level(is_silent), Ordering::Relaxed);
    }

    fn take_slow(&self) -> Option<(EndpointName, bool)> {
        // Read first, since nearly all attempts are fast.
        if self.0.slow.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let level = self.0.slow.swap(0, Ordering::Relaxed);
        Some((self.lock().slow_at.take()?, level == SILENT))
    }

    fn set_hedged(&self) {
        self.0.hedged.store(true, Ordering::Relaxed);
    }

    fn is_hedged(&self) -> bool {
        self.0.hedged.load(Ordering::Relaxed)
    }

    fn set_overtaken(&self, is_silent: bool) {
        self.0.overtaken.store(level(is_silent), Ordering::Relaxed);
    }

    fn overtaken(&self) -> Option<bool> {
        match self.0.overtaken.load(Ordering::Relaxed) {
            0 => None,
            level => Some(level == SILENT),
        }
    }
}

/// Returns the number that stands for a slow or a silent endpoint.
fn level(is_silent: bool) -> u8 {
    if is_silent { SILENT } else { SLOW }
}
