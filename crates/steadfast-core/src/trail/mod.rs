use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use http::Extensions;
use tokio::time::Instant;

use crate::endpoint::EndpointName;

mod attempt;
mod next;
mod record;

use self::record::{Attempts, Record};

pub use self::attempt::Attempt;
pub use self::next::Next;
pub(crate) use self::record::{Clauses, Explain, SILENT, SLOW};

/// The record of a request's attempts, shared by the layers that the request passes.
///
/// The retry layer inserts it into the extensions of a request. A response after more than one
/// attempt contains it, and so does [`Exhausted`](crate::Exhausted). Clones share one record. A
/// trail belongs to one request: a second request with the same trail is not retried.
#[derive(Clone)]
pub struct Trail(pub(crate) Arc<Record>);

impl Trail {
    /// The maximum number of attempts that are kept: the first, and the latest of the others.
    pub const MAX_ATTEMPTS: usize = record::MAX_ATTEMPTS;

    /// Creates an empty trail of a request that arrives now.
    #[must_use]
    pub fn new() -> Self {
        Self::since(Instant::now())
    }

    /// Creates an empty trail of a request that arrived at `arrived`.
    #[must_use]
    pub fn since(arrived: Instant) -> Self {
        Self(Arc::new(Record::new(arrived)))
    }

    /// Returns when the request arrived. All its waits count from this instant, those between two
    /// attempts included.
    #[must_use]
    pub fn arrived(&self) -> Instant {
        self.0.arrived
    }

    /// Returns the trail in the extensions of a request or of a response.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns a number that no other present trail has.
    #[must_use]
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Returns the number of attempts so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Returns whether there was no attempt yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the attempts in the order of their ends. Attempts that overlap, such as hedges, can
    /// differ from the order of their starts.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.lock().iter().cloned().collect()
    }

    /// Returns the latest attempt.
    #[must_use]
    pub fn last(&self) -> Option<Attempt> {
        self.lock().last().cloned()
    }

    /// Returns the clause of each endpoint, if no endpoint served the request and a balancer has
    /// reported them. See [`Exhausted::reasons`](crate::Exhausted::reasons).
    #[must_use]
    pub fn reasons(&self) -> Option<Arc<str>> {
        let reasons = self.lock().explanation.as_ref()?.reasons.clone()?;
        Some(reasons.to_string().into())
    }

    /// Passes the attempts to `look` without a copy. The trail is locked meanwhile.
    pub fn with_attempts<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = &Attempt>) -> T,
    ) -> T {
        let attempts = self.lock();
        look(&mut attempts.iter())
    }

    /// Returns the number of moves from one endpoint to another. A hedge is no move.
    #[must_use]
    pub fn failovers(&self) -> usize {
        self.with_attempts(|attempts| {
            let mut last: Option<&EndpointName> = None;
            attempts
                .filter(|attempt| !attempt.hedge)
                .filter_map(|attempt| attempt.endpoint.as_ref())
                .filter(|endpoint| last.replace(endpoint).is_some_and(|last| last != *endpoint))
                .count()
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Attempts> {
        // Values are pushed and replaced whole, so a panic cannot leave them inconsistent.
        let attempts = self.0.attempts.lock();
        attempts.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.attempts()).finish()
    }
}

/// Prints `primary: rate_limited (429), backup: success (200)`.
impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, attempt) in self.attempts().iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(attempt, f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
