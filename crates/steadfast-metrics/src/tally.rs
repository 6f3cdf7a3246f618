use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_core::Class;

use crate::snapshot::Snapshot;

/// The numbers of one layer. They need no recorder.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    started: AtomicU64,
    successful: AtomicU64,
    rate_limited: AtomicU64,
    cancelled: AtomicU64,
    other_errors: AtomicU64,
    attempts: AtomicU64,
    failovers: AtomicU64,
}

impl Tally {
    pub(crate) fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn route(&self, attempts: u64, failovers: u64) {
        self.attempts.fetch_add(attempts, Ordering::Relaxed);
        self.failovers.fetch_add(failovers, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, class: Class) {
        let ended = match class {
            Class::Success => &self.successful,
            Class::RateLimited | Class::QuotaExhausted => &self.rate_limited,
            Class::Cancelled => &self.cancelled,
            _ => &self.other_errors,
        };
        // A reader of this end also reads its start, its attempts and its failovers.
        ended.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let successful = self.successful.load(Ordering::Acquire);
        let rate_limited = self.rate_limited.load(Ordering::Acquire);
        let cancelled = self.cancelled.load(Ordering::Acquire);
        let other_errors = self.other_errors.load(Ordering::Acquire);
        // A sum of the values above, since a separate counter could be ahead of them.
        let total = successful + rate_limited + cancelled + other_errors;
        // Read after the ends, so that there are never more ends than starts.
        let started = self.started.load(Ordering::Relaxed);
        Snapshot {
            total,
            in_flight: started.saturating_sub(total),
            successful,
            rate_limited,
            cancelled,
            other_errors,
            attempts: self.attempts.load(Ordering::Relaxed),
            failovers: self.failovers.load(Ordering::Relaxed),
        }
    }
}
