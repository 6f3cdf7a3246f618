use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicUsize};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::attempt::Attempt;
use super::next::Next;
use crate::endpoint::EndpointName;

/// The first attempt and the latest others are kept.
pub(super) const MAX_ATTEMPTS: usize = 128;

/// The endpoint of a slow attempt has answered other requests meanwhile, or this one in part.
pub(crate) const SLOW: u8 = 1;
/// The endpoint of a slow attempt has answered nothing since the attempt began.
pub(crate) const SILENT: u8 = 2;

/// The state that clones of a trail share.
pub(crate) struct Record {
    /// When the request arrived at the first layer with a trail.
    pub(super) arrived: Instant,
    pub(crate) retried: AtomicBool,
    /// Whether the request can be repeated after any failure.
    pub(crate) repeatable: AtomicBool,
    /// Whether the request fails alike at endpoints that serve others.
    pub(crate) at_fault: AtomicBool,
    /// The number of all attempts, including those that are no longer kept.
    pub(crate) count: AtomicUsize,
    /// The tier of the outcome that was returned last.
    pub(crate) tier: AtomicU16,
    /// Whether the attempt in flight is slow, until a layer has read it: [`SLOW`] or [`SILENT`].
    pub(crate) slow: AtomicU8,
    /// Whether a second attempt was sent while the first was in flight.
    pub(crate) hedged: AtomicBool,
    /// Whether the second attempt has answered first: [`SLOW`] or [`SILENT`].
    pub(crate) overtaken: AtomicU8,
    pub(super) attempts: Mutex<Attempts>,
}

#[derive(Default)]
pub(crate) struct Attempts {
    /// Separate, so that a request with one attempt allocates nothing.
    first: Option<Attempt>,
    more: Vec<Attempt>,
    pub(crate) next: Option<Next>,
    pub(crate) last_next: Option<Next>,
    /// The endpoint of an attempt that was slow.
    pub(crate) slow_at: Option<EndpointName>,
    /// Only of a request that failed.
    pub(crate) explanation: Option<Box<Explanation>>,
}

/// The reasons of a rejection, and their source.
#[derive(Default)]
pub(crate) struct Explanation {
    pub(crate) explain: Option<Arc<Explain>>,
    pub(crate) reasons: Option<Arc<Clauses>>,
}

/// The clause of each endpoint. It is formatted when it is read, because most callers of an
/// exhausted pool only need the time.
pub(crate) type Clauses = dyn fmt::Display + Send + Sync;

/// Returns the soonest recovery of an endpoint for a request with these attempts, and the clause of
/// each endpoint.
pub(crate) type Explain =
    dyn Fn(&[Attempt], Instant) -> (Option<Instant>, Option<Arc<Clauses>>) + Send + Sync;

impl Record {
    /// Starts without attempts.
    pub(super) fn new(arrived: Instant) -> Self {
        Self {
            arrived,
            retried: AtomicBool::default(),
            repeatable: AtomicBool::default(),
            at_fault: AtomicBool::default(),
            count: AtomicUsize::default(),
            tier: AtomicU16::default(),
            slow: AtomicU8::default(),
            hedged: AtomicBool::default(),
            overtaken: AtomicU8::default(),
            attempts: Mutex::default(),
        }
    }
}

impl Attempts {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        if self.first.is_none() {
            self.first = Some(attempt);
            return;
        }
        if self.more.len() + 1 == MAX_ATTEMPTS {
            self.more.remove(0);
        }
        self.more.push(attempt);
    }

    pub(super) fn last(&self) -> Option<&Attempt> {
        self.more.last().or(self.first.as_ref())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Attempt> {
        self.first.iter_mut().chain(&mut self.more)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }
}
